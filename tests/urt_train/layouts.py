"""The padded rows and the packed row of one batch, side by side: what the tests of shared prefixes compare."""

from typing import Any

import torch

from urt_core import render
from urt_train.config import Batching
from urt_train.model.batching import TokenBatch, pack_completions
from urt_train.model.policy import Policy


def group_batch(policy, records, *, group_size: int, seed: int = 0, lengths=None) -> TokenBatch:
    """Random completions of different lengths, one of them a single token; a length of 0 is a completion outside the
    loss."""
    generator = torch.Generator().manual_seed(seed)
    if lengths is None:
        lengths = torch.randint(2, 14, (len(records), group_size), generator=generator)
        lengths[0, 0] = 1
    rows = [
        [torch.randint(7, 300, (int(length),), generator=generator).tolist() for length in group] for group in lengths
    ]
    ids, mask = pack_completions(rows)
    prompts = policy.encode([render(record, policy.spec.dialect) for record in records])
    return TokenBatch(prompts=prompts, completion_ids=ids, completion_mask=mask)


def in_float64(policy, monkeypatch) -> None:
    """transformers computes norms and rotations in float32 whatever the model's type."""
    policy.to(torch.float64)
    for name in ("float32", "float"):
        monkeypatch.setattr(torch, name, torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


def weights_like(logprobs):
    return torch.randn(logprobs.shape, generator=torch.Generator().manual_seed(1))


def both_layouts(policy, batch):
    """(log-probs, entropies, gradients by name) of the padded rows and of the packed row, of one random weighting."""
    for batching in Batching:
        policy.batching = batching
        policy.zero_grad()
        result = policy.token_logprobs(batch, temperature=0.7, entropy=True)
        (result.logprobs * weights_like(result.logprobs)).sum().backward()
        gradients = {name: part.grad.clone() for name, part in policy.named_parameters() if part.grad is not None}
        yield result.logprobs.detach(), result.entropy.detach(), gradients


def assert_layouts_agree(policy, batch, *, tolerance: float) -> None:
    (logprobs, entropies, gradients), packed = both_layouts(policy, batch)
    torch.testing.assert_close(packed[0], logprobs, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(packed[1], entropies, rtol=tolerance, atol=tolerance)
    assert packed[2].keys() == gradients.keys()
    for name, gradient in gradients.items():
        scale = gradient.abs().max().clamp(min=1.0)
        torch.testing.assert_close(packed[2][name] / scale, gradient / scale, rtol=0, atol=tolerance, msg=name)


RECURRENT_AND_FULL = ("linear_attention", "linear_attention", "full_attention", "linear_attention")


def tiny_qwen3_5(tiny_folder, spec, *, seed: int = 0) -> Policy:
    """Random, with the tokenizer and the patches of the tiny Qwen3-VL: three recurrent layers around one of
    attention."""
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    return _tiny(Qwen3_5Config, Qwen3_5ForConditionalGeneration, {}, tiny_folder, spec, seed)


def tiny_qwen3_5_moe(tiny_folder, spec, *, seed: int = 0) -> Policy:
    """The same with four experts in the place of each MLP."""
    from transformers import Qwen3_5MoeConfig, Qwen3_5MoeForConditionalGeneration

    experts = {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    }
    return _tiny(Qwen3_5MoeConfig, Qwen3_5MoeForConditionalGeneration, experts, tiny_folder, spec, seed)


def _tiny(config_class: Any, model_class: Any, text: dict[str, Any], tiny_folder, spec, seed: int) -> Policy:
    other = Policy.from_pretrained(tiny_folder, spec=spec)
    config = config_class(
        text_config={
            "vocab_size": other.model.config.text_config.vocab_size,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": len(RECURRENT_AND_FULL),
            "layer_types": list(RECURRENT_AND_FULL),
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e4,
                "mrope_section": [2, 1, 1],
                "partial_rotary_factor": 0.5,
            },
            "tie_word_embeddings": True,
            **text,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 8,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
        },
        image_token_id=other.model.config.image_token_id,
        video_token_id=other.model.config.video_token_id,
        vision_start_token_id=other.model.config.vision_start_token_id,
        vision_end_token_id=other.model.config.vision_end_token_id,
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = model_class(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(
                "A_log"
            ):  # memories of a few to some hundred tokens: as they start, states fade within one
                parameter.copy_(torch.logspace(-2.5, -0.5, len(parameter)).log())
            elif parameter.ndim >= 2:
                parameter.normal_(0, 0.3 / parameter[0].numel() ** 0.5)
    return Policy(model, other.tokenizer, other.image_processor, spec=spec)
