"""Qwen3.5 over a packed row: what its recurrent layers compute for padded rows, and for each row alone."""

import importlib.util
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch.distributed.device_mesh import init_device_mesh
from transformers.models.qwen3_5 import modeling_qwen3_5

from tests.urt_train.layouts import (
    assert_layouts_agree,
    both_layouts,
    group_batch,
    in_float64,
    tiny_qwen3_5,
    tiny_qwen3_5_moe,
    weights_like,
)
from urt_core import SamplingParams, render
from urt_train.config import Batching, LoraConfig
from urt_train.model.batching import TokenBatch, pack_completions
from urt_train.model.lora import add_adapters
from urt_train.model.packed.packing import Group, row_layout
from urt_train.model.packed.recurrent import PromptState, continue_from_prompts
from urt_train.model.sharding import shard
from urt_train.model.weights import gathered

LENGTHS = [[5, 0, 70], [2, 13, 1], [1, 1, 2], [0, 0, 0]]
"""A completion of n tokens has n - 1 in the row; the 70 are more than a chunk of the recurrence (64)."""


@pytest.fixture
def policy(tiny_folder, spec):
    return tiny_qwen3_5(tiny_folder, spec)


@pytest.mark.parametrize("num_prompts", [4, 1], ids=["several groups", "one group"])
# float64 proves the formula; in float32 the decay's gradient is a sum of terms that cancel, about 100 roundings of 1e-7 from
# the other order of sums, a little more or less from one CPU to the next.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-10)])
def test_log_probs_and_gradients_equal_those_of_padded_rows(
    policy, records, num_prompts, dtype, tolerance, monkeypatch
):
    if dtype is torch.float64:
        in_float64(policy, monkeypatch)
    batch = group_batch(policy, records[:num_prompts], group_size=3, lengths=LENGTHS[:num_prompts])
    policy.batching = Batching.padded
    before = policy.token_logprobs(batch, temperature=0.7).logprobs
    assert before[batch.completion_mask].std() > 0.3, "the model is not uniform, so the comparison means something"
    assert_layouts_agree(policy, batch, tolerance=tolerance)
    policy.batching = Batching.padded
    again = policy.token_logprobs(batch, temperature=0.7).logprobs
    assert torch.equal(again, before), "rows without a layout are computed as before"


def test_both_are_those_of_each_row_alone(policy, records, monkeypatch):
    """The model's own logits for one row [prompt | completion] at a time: no padding, no sharing, no state handed
    on."""
    in_float64(policy, monkeypatch)
    batch = group_batch(policy, records[:2], group_size=3, lengths=LENGTHS[:2])
    alone = torch.zeros(batch.completion_ids.shape, dtype=torch.float64)
    for number, record in enumerate(records[:2]):
        prompt = policy.encode([render(record, policy.spec.dialect)])
        for completion, length in enumerate(LENGTHS[number]):
            if not length:
                continue
            tokens = batch.completion_ids[number, completion, :length]
            ids = torch.cat([prompt["input_ids"], tokens[None]], dim=1)
            types = torch.nn.functional.pad(prompt["mm_token_type_ids"], (0, length))
            inputs = {**prompt, "input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": types}
            logprobs = policy.model(**inputs).logits[0, -length - 1 : -1].log_softmax(-1)
            alone[number, completion, :length] = logprobs.gather(-1, tokens[:, None])[:, 0]
    for batching in Batching:
        policy.batching = batching
        torch.testing.assert_close(policy.token_logprobs(batch).logprobs, alone, rtol=0, atol=1e-10, msg=str(batching))


@settings(
    max_examples=5, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lengths=st.lists(st.lists(st.integers(0, 7), min_size=2, max_size=2), min_size=1, max_size=3))
def test_any_lengths(policy, records, monkeypatch, lengths):
    in_float64(policy, monkeypatch)
    batch = group_batch(policy, records[: len(lengths)], group_size=2, lengths=lengths)
    assert_layouts_agree(policy, batch, tolerance=1e-10)


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs peft")
def test_with_adapters_and_gradient_checkpointing(policy, records, monkeypatch):
    in_float64(policy, monkeypatch)
    policy.select_trainable(language=True, vision=True, projector=True)
    targets = ["in_proj_qkv", "in_proj_z", "in_proj_a", "out_proj", "q_proj", "v_proj", "down_proj"]
    add_adapters(policy.model, LoraConfig(rank=2, alpha=4.0, targets=targets))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # as they start, adapters add nothing
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    policy.train().model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    batch = group_batch(policy, records[:3], group_size=2, lengths=[[3, 9], [4, 0], [1, 2]])
    assert_layouts_agree(policy, batch, tolerance=1e-10)


def test_a_mixture_of_experts(tiny_folder, spec, records, monkeypatch):
    policy = tiny_qwen3_5_moe(tiny_folder, spec)
    policy.model.set_experts_implementation("eager")  # the fused one has no float64
    in_float64(policy, monkeypatch)
    batch = group_batch(policy, records[:3], group_size=1, lengths=[[9], [2], [0]])
    assert_layouts_agree(policy, batch, tolerance=1e-10)


def without_inputs(state: Any) -> None:
    state.conv_states[0] = torch.zeros_like(state.conv_states[0])


def without_memory(state: Any) -> None:
    state.recurrent_states[0] = torch.zeros_like(state.recurrent_states[0])


def without_gradient(state: Any) -> None:
    state.conv_states[0] = state.conv_states[0].detach()
    state.recurrent_states[0] = state.recurrent_states[0].detach()


@pytest.mark.parametrize(
    ("mistake", "in_log_probs"), [(without_inputs, True), (without_memory, True), (without_gradient, False)]
)
def test_what_a_prompt_leaves_behind_matters(policy, records, monkeypatch, mistake, in_log_probs):
    """The comparison above would see a completion begin without it, or a prompt that learns nothing from its
    completions."""
    as_it_is = PromptState.repeat

    def repeat(state: PromptState, times: int) -> None:
        mistake(state)
        as_it_is(state, times)

    monkeypatch.setattr(PromptState, "repeat", repeat)
    batch = group_batch(policy, records[:2], group_size=3, lengths=LENGTHS[:2])
    (logprobs, _, gradients), (mistaken, _, mistaken_gradients) = both_layouts(policy, batch)
    assert ((mistaken - logprobs).abs().max() > 0.02) == in_log_probs
    name = "model.model.language_model.layers.0.linear_attn.in_proj_qkv.weight"
    assert (mistaken_gradients[name] - gradients[name]).norm() > 0.02 * gradients[name].norm()


@torch.no_grad()
def test_each_prompt_runs_once_and_by_the_kernels_of_the_layer(policy, records, monkeypatch):
    """The recurrence is asked for once for each prompt and once for its completions side by side, and for no step of
    decoding."""
    asked = []
    ordinary = modeling_qwen3_5.torch_chunk_gated_delta_rule

    def chunk_gated_delta_rule(query, *args, initial_state, output_final_state, **kwargs):
        assert output_final_state
        asked.append((*query.shape[:2], initial_state is not None))
        return ordinary(query, *args, initial_state=initial_state, output_final_state=True, **kwargs)

    monkeypatch.setattr(modeling_qwen3_5, "torch_chunk_gated_delta_rule", chunk_gated_delta_rule)
    monkeypatch.setattr(modeling_qwen3_5, "torch_recurrent_gated_delta_rule", None)
    policy.batching = Batching.shared_prefix
    batch = group_batch(policy, records[:4], group_size=3, lengths=LENGTHS)
    policy.token_logprobs(batch)
    prompts = batch.prompts["attention_mask"].sum(-1).tolist()
    in_a_layer = [(1, prompts[0], False), (3, 69, True), (1, prompts[1], False), (3, 12, True), (1, prompts[2], False)]
    in_a_layer += [(3, 2, True), (1, prompts[3], False)]  # single tokens get one beside them; the last group has none
    assert asked == in_a_layer * 3


def test_a_copy_of_the_model_has_its_own(policy, records):
    policy.batching = Batching.shared_prefix
    batch = group_batch(policy, records[:2], group_size=2)
    before = policy.token_logprobs(batch).logprobs.detach()
    reference = policy.reference()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.01)
    assert torch.equal(reference.token_logprobs(batch).logprobs, before)


def test_sharded_blocks_with_checkpointing(policy, tiny_folder, spec, records, tmp_path):
    """FSDP2 of one rank: weights are gathered and freed around each block, and again in the backward pass."""
    batch = group_batch(policy, records[:2], group_size=2, lengths=[[3, 9], [4, 0]])
    *_, (logprobs, _, gradients) = both_layouts(policy, batch)
    sharded = tiny_qwen3_5(tiny_folder, spec)
    sharded.batching = Batching.shared_prefix
    sharded.train().model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        shard(sharded, init_device_mesh("cpu", (1,)), compute_dtype=None)
        result = sharded.token_logprobs(batch, temperature=0.7)
        (result.logprobs * weights_like(result.logprobs)).sum().backward()
        assert torch.equal(result.logprobs, logprobs)
        for name, parameter in sharded.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(gathered(parameter.grad), gradients[name], rtol=0, atol=1e-6, msg=name)
    finally:
        torch.distributed.destroy_process_group()


def test_in_bfloat16_it_is_as_near_as_padded_rows(policy, records, monkeypatch):
    """Both differ from float32 by their rounding alone: within 2^-8 of what is added up, 0.1 for these log-probs."""
    batch = group_batch(policy, records[:2], group_size=3, lengths=LENGTHS[:2])
    (exact, _, _), _ = both_layouts(policy, batch)
    policy.to(torch.bfloat16)
    for logprobs, _, gradients in both_layouts(policy, batch):
        assert (logprobs - exact).abs().max() < 0.1
        assert all(gradient.isfinite().all() for gradient in gradients.values())


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@torch.no_grad()
def test_flex_attends_between_recurrent_layers(policy, records):
    batch = group_batch(policy, records[:3], group_size=3, lengths=LENGTHS[:3])
    policy.batching = Batching.shared_prefix
    expected = policy.token_logprobs(batch).logprobs
    policy.attention = "flex"
    torch.testing.assert_close(policy.token_logprobs(batch).logprobs, expected, rtol=1e-5, atol=1e-5)


def test_a_layer_sees_what_it_sees_alone(policy):
    """One layer by itself, in float64: every completion beside others, and behind a prompt shorter than the
    convolution."""
    layer = policy.model.get_decoder().layers[0].linear_attn.to(torch.float64)
    continue_from_prompts(policy.model)
    groups = (Group(2, (3, 0, 6)), Group(9, (1, 1)), Group(1, (0, 0)))
    parts = [[group.prompt, *group.completions] for group in groups]
    row = torch.randn(1, sum(map(sum, parts)), 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    seen = layer(row, layout=row_layout(groups, device=torch.device("cpu")))
    assert seen.shape == row.shape
    place = iter(torch.arange(row.shape[1]).split([size for group in parts for size in group]))
    for group in parts:
        prompt, *completions = [next(place) for _ in group]
        for completion in completions:
            alone = torch.cat([prompt, completion])
            torch.testing.assert_close(seen[:, alone], layer(row[:, alone]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batching", list(Batching))
def test_engine_and_trainer_agree(policy, records, batching):
    """Rollouts hand recurrent states from prompts to completions too, and drop those of rows that have ended."""
    policy.batching = batching
    policy.model.generation_config.eos_token_id = list(range(40, 80))
    prompts = [render(record, policy.spec.dialect) for record in records[:4]]
    sampling = SamplingParams(temperature=0.8, max_tokens=16, seed=3, num_completions=3, logprobs=True)
    groups = policy.engine().generate(prompts, sampling)
    lengths = [len(completion.token_ids) for group in groups for completion in group]
    assert len(set(lengths)) > 4, "rows end at different steps"
    ids, mask = pack_completions([[completion.token_ids for completion in group] for group in groups])
    encoded = policy.encode(prompts)
    assert not encoded["attention_mask"].all(), "prompts are padded"
    batch = TokenBatch(prompts=encoded, completion_ids=ids, completion_mask=mask)
    trainer = policy.token_logprobs(batch, temperature=0.8).logprobs
    for number, group in enumerate(groups):
        for column, completion in enumerate(group):
            expected = torch.tensor(completion.logprobs)
            torch.testing.assert_close(trainer[number, column, : len(expected)], expected, rtol=1e-5, atol=1e-5)
