"""A packed row computes what the padded rows compute: log-probs, entropies and gradients of every parameter."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tests.urt_train.layouts import assert_layouts_agree, group_batch, in_float64
from urt_core import SamplingParams, render
from urt_core.errors import ConfigError
from urt_train.config import Batching, LoraConfig
from urt_train.model.lora import add_adapters
from urt_train.model.packed import shared_prefix
from urt_train.model.packed.packing import Group, row_layout
from urt_train.model.packed.shared_prefix import block_mask_layout, shared_prefix_attention
from urt_train.model.policy import Policy

GROUPS = (Group(5, (3, 0, 6)), Group(9, (0, 0, 0)), Group(4, (2, 1, 2)))
NOT_LOOKED_AT: Any = object()
# A CPU has the plain form of FlexAttention alone, and PyTorch would rather it were compiled.
plain_flex = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


@pytest.mark.parametrize("num_prompts", [5, 1], ids=["several groups", "one group"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_log_probs_and_gradients_equal_those_of_padded_rows(
    policy, records, num_prompts, dtype, tolerance, monkeypatch
):
    if dtype is torch.float64:
        in_float64(policy, monkeypatch)
    batch = group_batch(policy, records[:num_prompts], group_size=3)
    policy.batching = Batching.padded
    before = policy.token_logprobs(batch, temperature=0.7).logprobs
    assert before.abs().max() > 1, "the model is not uniform, so the comparison means something"
    assert_layouts_agree(policy, batch, tolerance=tolerance)
    policy.batching = Batching.padded
    again = policy.token_logprobs(batch, temperature=0.7).logprobs
    assert torch.equal(again, before), "rows without a layout attend as before"


def test_rows_without_a_layout_find_the_attention_under_its_own_name(policy, records):
    """Flash attention looks its kernel up by the name in the config, in the prefill of the engine too."""
    names: list[str] = []

    def named(module: Any, *states: Any, **kwargs: Any) -> Any:
        names.append(module.config._attn_implementation)
        return ALL_ATTENTION_FUNCTIONS["sdpa"](module, *states, **kwargs)

    AttentionInterface.register("looks_itself_up", named)
    AttentionMaskInterface.register("looks_itself_up", ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    policy.model.get_decoder().config._attn_implementation = "looks_itself_up"
    batch = group_batch(policy, records[:1], group_size=2)
    for batching in (Batching.shared_prefix, Batching.padded):
        policy.batching = batching
        policy.token_logprobs(batch)
    prompts = [render(records[0], policy.spec.dialect)]
    policy.engine().generate(prompts, SamplingParams(max_tokens=3, num_completions=2))
    assert len(names) >= 2, "padded rows and the prefill; packed rows and decoding have attention of their own"
    assert set(names) == {"looks_itself_up"}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2), min_size=1, max_size=3))
def test_any_lengths(policy, records, lengths):
    """Whole groups outside the loss included: they take part in no gradient, and every rank still has one to give."""
    assert_layouts_agree(
        policy, group_batch(policy, records[: len(lengths)], group_size=2, lengths=lengths), tolerance=1e-5
    )


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs peft")
def test_with_adapters_and_gradient_checkpointing(policy, records, monkeypatch):
    in_float64(policy, monkeypatch)
    policy.select_trainable(language=True, vision=True, projector=True)
    add_adapters(policy.model, LoraConfig(rank=2, alpha=4.0))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # as they start, adapters add nothing
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    policy.train().model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert_layouts_agree(policy, group_batch(policy, records[:3], group_size=2), tolerance=1e-10)


def test_qwen2_5_vl(tiny_folder, spec, records):
    policy = tiny_qwen2_5_vl(tiny_folder, spec)
    assert_layouts_agree(policy, group_batch(policy, records[:4], group_size=3), tolerance=1e-5)


def test_layers_of_another_kind_are_refused(spec):
    from transformers import Qwen3_5TextConfig

    class Model(torch.nn.Module):
        def __init__(self, config) -> None:
            super().__init__()
            self.config = config

    def check(*layer_types: str, model_type: str = "qwen3_5_text", batching: Batching = Batching.shared_prefix) -> None:
        config: Any = Qwen3_5TextConfig(num_hidden_layers=len(layer_types), layer_types=list(layer_types))
        config.model_type = model_type
        Policy(Model(config), None, None, spec=spec, batching=batching)

    check("linear_attention", "full_attention")
    message = (
        r"qwen3_5_text knows layers of the kind full_attention, linear_attention, .*kind sliding_attention.*=padded"
    )
    with pytest.raises(ConfigError, match=message):
        check("linear_attention", "sliding_attention")
    check("linear_attention", "sliding_attention", batching=Batching.padded)
    with pytest.raises(ConfigError, match=r"other knows layers of the kind full_attention, .*kind linear_attention"):
        check("linear_attention", "full_attention", model_type="other")


def attended(layout, states):
    query, key, value = states
    return shared_prefix_attention(None, query, key, value, None, scaling=0.3, layout=layout)[0].transpose(1, 2)


def masked(states):
    """The same by the definition: for each token a row of what it may see."""
    part = torch.tensor(
        [
            number
            for group in GROUPS
            for number, size in enumerate([group.prompt, *group.completions])
            for _ in range(size)
        ]
    )
    group = torch.tensor(
        [number for number, group in enumerate(GROUPS) for _ in range(group.prompt + sum(group.completions))]
    )
    sees = [
        [key <= query and group[key] == group[query] and part[key] in (0, part[query]) for key in range(len(part))]
        for query in range(len(part))
    ]
    query, key, value = states
    key, value = key.repeat_interleave(2, dim=1), value.repeat_interleave(2, dim=1)
    return scaled_dot_product_attention(query, key, value, attn_mask=torch.tensor(sees), scale=0.3)


def random_states(dtype=torch.float64, device="cpu", width=8):
    num_tokens = sum(group.prompt + sum(group.completions) for group in GROUPS)
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(1, heads, num_tokens, width, generator=generator, dtype=dtype).to(device).requires_grad_()
        for heads in (4, 2, 2)
    ]


def test_two_calls_for_each_group_see_what_they_may():
    states = random_states()
    seen, expected = attended(row_layout(GROUPS, device=torch.device("cpu")), states), masked(states)
    torch.testing.assert_close(seen, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn(seen.shape, dtype=seen.dtype, generator=torch.Generator().manual_seed(1))
    for one, other in zip(
        torch.autograd.grad((seen * weights).sum(), states),
        torch.autograd.grad((expected * weights).sum(), states),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@plain_flex
@torch.no_grad()
def test_the_block_mask_lets_them_see_the_same():
    states = [part.detach() for part in random_states()]
    torch.testing.assert_close(
        attended(block_mask_layout(GROUPS, device=torch.device("cpu")), states), masked(states), rtol=1e-12, atol=1e-12
    )


@plain_flex
@torch.no_grad()
def test_flex_gives_the_log_probs_of_the_two_calls(policy, records):
    batch = group_batch(policy, records[:4], group_size=3)
    policy.batching = Batching.shared_prefix
    expected = policy.token_logprobs(batch).logprobs
    policy.attention = "flex"
    torch.testing.assert_close(policy.token_logprobs(batch).logprobs, expected, rtol=1e-5, atol=1e-5)


@plain_flex
@torch.no_grad()
def test_rows_of_any_length_are_a_few_shapes_to_compile(monkeypatch):
    shapes: set[tuple[int, ...]] = set()

    def counted(query, key, value, **options):
        shapes.add(tuple(query.shape))
        return torch.zeros_like(query)

    monkeypatch.setattr(shared_prefix, "_flex_attention", lambda device: counted)
    for num_tokens in [*range(3, 1025, 37), 1024, 1025, *range(1100, 6000, 511), 8192]:
        row = [Group(num_tokens - 2, (1, 0, 1))]
        states = [torch.zeros(1, heads, num_tokens, 4) for heads in (4, 2, 2)]
        seen = attended(row_layout(row, device=torch.device("cpu"))._replace(block_mask=NOT_LOOKED_AT), states)
        assert seen.shape == states[0].shape
    assert shapes == {(1, 4, size, 4) for size in (1024, 2048, 4096, 8192)}
    assert {shared_prefix.bucket(length) for length in range(1, 131073, 7)} == {1024 << step for step in range(8)}
    limit = torch._dynamo.config.recompile_limit
    assert limit >= 8, "what torch compiles of one function before it gives up"


@plain_flex
@torch.no_grad()
def test_a_row_as_long_as_its_bucket_and_one_token_more(monkeypatch):
    monkeypatch.setattr(shared_prefix, "SHORTEST_BUCKET", 16)
    num_tokens = sum(group.prompt + sum(group.completions) for group in GROUPS)
    assert num_tokens == 32 == shared_prefix.bucket(32)
    assert shared_prefix.bucket(33) == 64
    states = [part.detach() for part in random_states()]
    layout = block_mask_layout(GROUPS, device=torch.device("cpu"))
    torch.testing.assert_close(attended(layout, states), masked(states), rtol=1e-12, atol=1e-12)


def test_flex_without_a_backward_pass_says_what_to_do(policy, records):
    policy.batching, policy.attention = Batching.shared_prefix, "flex"
    with pytest.raises(ConfigError, match=r"no backward pass on a CPU; allowed here: model\.attention=sdpa"):
        policy.token_logprobs(group_batch(policy, records[:1], group_size=2))


@pytest.mark.parametrize("attention", ["flex", "flash_attention_2"])
def test_kernels_without_dropout_refuse_it(policy, spec, attention):
    policy.model.config.get_text_config().attention_dropout = 0.1
    with pytest.raises(ConfigError, match=rf"model\.attention is {attention}, which in packed rows knows no dropout"):
        Policy(policy.model, None, None, spec=spec, batching=Batching.shared_prefix, attention=attention)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_flex_and_two_calls_agree_forward_and_backward_on_a_gpu():
    device = torch.device("cuda")
    states = random_states(torch.float32, "cuda", width=16)
    weights = torch.randn(1, 4, states[0].shape[2], 16, generator=torch.Generator().manual_seed(1)).to(device)
    results = []
    for layout in (row_layout(GROUPS, device=device), block_mask_layout(GROUPS, device=device)):
        seen = attended(layout, states)
        results.append([seen, *torch.autograd.grad((seen * weights).sum(), states)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=5e-3, atol=5e-3)  # FlexAttention multiplies in TF32


def tiny_qwen2_5_vl(tiny_folder: Path, spec) -> Policy:
    """Random, with the tokenizer and the patches of the tiny Qwen3-VL; its windows of 2 x 2 merged patches cut every
    image."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    other = Policy.from_pretrained(tiny_folder, spec=spec)
    text = other.model.config.text_config
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": text.vocab_size,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 8,
            "window_size": 32,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
        },
        image_token_id=other.model.config.image_token_id,
        video_token_id=other.model.config.video_token_id,
        vision_start_token_id=other.model.config.vision_start_token_id,
        vision_end_token_id=other.model.config.vision_end_token_id,
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, 0.5 / parameter[0].numel() ** 0.5 + 0.05)
    return Policy(model, other.tokenizer, other.image_processor, spec=spec)
