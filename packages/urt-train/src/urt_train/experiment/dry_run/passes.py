"""What one pass of a model holds: forward and backward, sampling, or the vision tower, on real tensors or on fake
ones."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache

from urt_core.engines.model.shared_prompt import SharedPromptCache, SharedPromptLayer, decoding_attention
from urt_train.experiment.dry_run.live_bytes import LiveBytes, own_bytes
from urt_train.experiment.dry_run.recurrence import fused_recurrence
from urt_train.model.packed.packing import Group, row_layout
from urt_train.model.packed.shared_prefix import share_prefixes
from urt_train.model.policy import Policy


class Arithmetic(NamedTuple):
    """What weights are while they compute: Arithmetic(weights=torch.bfloat16, is_autocast=True)"""

    weights: torch.dtype | None
    """None leaves them as they are stored."""
    is_autocast: bool


class Needed(NamedTuple):
    """Bytes: Needed(kept=2_100_000_000, forward=2_500_000_000, backward=3_800_000_000)

    Forward and backward pass apart, because each grows on a line of its own with layers and rows."""

    kept: float
    """What is still there after the forward pass: saved for the backward pass, or its result."""
    forward: float
    """The most in the forward pass."""
    backward: float
    """The most in the backward pass, where there is one."""

    @property
    def peak(self) -> float:
        return max(self.forward, self.backward)


class Generated(NamedTuple):
    """Bytes of sampling: Generated(prompt_cache=670_000_000, prefill_peak=1_200_000_000, cache=1_900_000_000,
    decoding_peak=1_950_000_000)"""

    prompt_cache: float
    """Keys and values of the prompts."""
    prefill_peak: float
    """Cache and computation."""
    cache: float
    """Keys and values of the prompts and of all completions at their full length."""
    decoding_peak: float
    """Cache and computation."""


def forward_and_backward(
    policy: Policy,
    *,
    arithmetic: Arithmetic,
    rows: tuple[int, int] = (1, 0),
    groups: list[Group] | None = None,
    is_padded: bool = False,
) -> Needed:
    """Gradients of weights count while they are made and no longer: where they are kept is the strategy's affair."""
    decoder = policy.model.get_decoder()
    inputs: dict[str, Any] = {}
    if groups:
        share_prefixes(policy.model)
        rows = 1, sum(group.prompt + sum(group.completions) for group in groups)
        inputs["layout"] = row_layout(groups, device=torch.device("cpu"))
    for parameter in decoder.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(_drop_gradient)
    with _mode_of(decoder), LiveBytes(ignoring=_state(decoder)) as live, fused_recurrence():
        if is_padded:
            inputs["attention_mask"] = _mask_of_padding(decoder, rows)
        with torch.autocast("cpu", torch.bfloat16, enabled=arithmetic.is_autocast):
            hidden = decoder(**_embedded(decoder, rows), **inputs, use_cache=False).last_hidden_state
        kept, forward, live.peak = live.now, live.peak, live.now
        if hidden.requires_grad:
            hidden.backward(torch.ones_like(hidden))
    return Needed(kept, forward, live.peak)


def generate(
    policy: Policy, number: int, prompt: int, group_size: int, length: int, *, arithmetic: Arithmetic
) -> Generated:
    decoder = policy.model.eval().get_decoder()
    with (
        torch.no_grad(),
        _mode_of(decoder),
        LiveBytes(ignoring=_state(decoder)) as live,
        fused_recurrence(),
        torch.autocast("cpu", torch.bfloat16, enabled=arithmetic.is_autocast),
    ):
        prefilled = DynamicCache(config=decoder.config)
        mask = _mask_of_padding(decoder, (number, prompt))
        decoder(**_embedded(decoder, (number, prompt)), attention_mask=mask, past_key_values=prefilled, use_cache=True)
        del mask
        prompt_cache, prefill_peak = _cache_bytes(prefilled), live.peak
        prompt_mask = torch.ones(number, prompt, dtype=torch.long)
        shared = SharedPromptCache(prefilled, prompt_mask=prompt_mask, group_size=group_size)
        for layer in shared.cache.layers:
            if isinstance(layer, SharedPromptLayer):
                grown = (*layer.own_keys.shape[:2], length, layer.own_keys.shape[3])
                layer.own_keys, layer.own_values = layer.own_keys.new_empty(grown), layer.own_values.new_empty(grown)
                layer.length = length - 1
        live.peak = live.now
        with decoding_attention(policy.model):
            decoder(**_embedded(decoder, (number * group_size, 1)), past_key_values=shared.cache, use_cache=True)
        return Generated(prompt_cache, prefill_peak, _cache_bytes(shared.cache), live.peak)


def show(policy: Policy, tensors: dict[str, Tensor], *, is_training: bool, arithmetic: Arithmetic) -> Needed:
    """Outside of the fake mode: grids and windows are computed from real numbers; images and weights are fake."""
    with _mode_of(policy):
        images = {
            name: torch.empty_like(tensor) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
        }
    for parameter in policy.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(_drop_gradient)
    with (
        torch.set_grad_enabled(is_training),
        LiveBytes(ignoring=[*_state(policy), *images.values()]) as live,
    ):
        with torch.autocast("cpu", torch.bfloat16, enabled=arithmetic.is_autocast):
            features = policy.model.model.get_image_features(**images).pooler_output
        kept, forward, live.peak = live.now, live.peak, live.now
        learning = [feature for feature in features if feature.requires_grad]
        if learning:
            torch.autograd.backward(learning, [torch.empty_like(feature) for feature in learning])
    return Needed(kept, forward, live.peak)


def make_fake(module: torch.nn.Module, *, dtype: torch.dtype | None) -> None:
    """Fake tensors of the CPU, where autocast and attention are real, in the place of those on the meta device."""
    for part in module.modules():
        for name, old in part._parameters.items():
            if old is not None:
                new = torch.empty(old.shape, dtype=dtype or old.dtype)
                part._parameters[name] = torch.nn.Parameter(new, requires_grad=old.requires_grad)
        for name, old in part._buffers.items():
            if old is not None:
                part._buffers[name] = torch.empty(old.shape, dtype=old.dtype)


def _mode_of(module: torch.nn.Module) -> AbstractContextManager[Any]:
    """In which new tensors are fake, if those of the module are."""
    return getattr(next(module.parameters()), "fake_mode", nullcontext())


def _state(module: torch.nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _drop_gradient(parameter: Tensor) -> None:
    parameter.grad = None


def _embedded(decoder: Any, rows: tuple[int, int]) -> dict[str, Tensor]:
    """What the embedding gives; gradient checkpointing in transformers lets it require gradients though it may not
    learn."""
    embedding = decoder.get_input_embeddings()
    learns = torch.is_grad_enabled() and (embedding.weight.requires_grad or bool(embedding._forward_hooks))
    positions = torch.zeros(rows, dtype=torch.long)
    has_axes = "mrope_section" in (getattr(decoder.config, "rope_parameters", None) or {})
    return {
        "inputs_embeds": torch.empty(
            *rows, embedding.embedding_dim, dtype=embedding.weight.dtype, requires_grad=learns
        ),
        "position_ids": positions.expand(3, -1, -1) if has_axes else positions,
    }


def _mask_of_padding(decoder: Any, rows: tuple[int, int]) -> Any:
    """What transformers makes of rows of different length for SDPA; recurrent layers take none."""
    number, length = rows
    mask = torch.ones(number, 1, length, length, dtype=torch.bool)
    if "linear_attention" in (getattr(decoder.config, "layer_types", None) or ()):
        return {"full_attention": mask, "linear_attention": None}
    return mask


def _cache_bytes(cache: Any) -> int:
    """Of all tensors that the layers of a key-value cache hold."""
    values = [value for layer in cache.layers for value in vars(layer).values()]
    nested = [item for value in values for item in (value.values() if isinstance(value, dict) else [value])]
    return own_bytes(value for value in nested if isinstance(value, Tensor))
