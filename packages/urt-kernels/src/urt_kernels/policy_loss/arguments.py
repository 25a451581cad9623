"""Checks of the arguments that grpo_loss and linear_grpo_loss share, and what the mask and the divisor become for the op."""

from __future__ import annotations

import torch
from torch import Tensor

from urt_kernels.checks import (
    FLOATS,
    INTEGERS,
    check_dtype,
    check_not_negative,
    check_same_device,
    check_shape,
)
from urt_kernels.shapes import Number


def check_batch(
    like: Tensor,
    *,
    rollout_logprobs: Tensor | None,
    advantages: Tensor | None,
    mask: Tensor,
    reference_logprobs: Tensor | None,
    old_logprobs: Tensor | None,
    cu_seqlens: Tensor | None,
    kl_coef: float,
    like_name: str = "policy_logprobs",
    mask_name: str = "completion_mask",
) -> None:
    """Check everything that has one value per token or sequence against ``like``: [B, T], or [N] with cu_seqlens."""
    shape = tuple(like.shape)
    if len(shape) != (2 if cu_seqlens is None else 1):
        wanted = "[B, T], or [N] with cu_seqlens" if cu_seqlens is None else "[N], as cu_seqlens is given"
        raise ValueError(f"{like_name} has shape {list(shape)}: it must be {wanted}.")
    meaning = f"the {'[B, T]' if cu_seqlens is None else '[N]'} of {like_name}"
    constants = {
        "rollout_logprobs": rollout_logprobs,
        "reference_logprobs": reference_logprobs,
        "old_logprobs": old_logprobs,
    }
    for name, values in constants.items():
        if values is not None:
            check_shape(name, values, shape, meaning=meaning)
            check_dtype(name, values, FLOATS)
    check_mask(mask_name, mask, shape, meaning=meaning)
    if advantages is not None:
        check_dtype("advantages", advantages, FLOATS)
        num_sequences = shape[0] if cu_seqlens is None else len(cu_seqlens) - 1
        allowed = [(num_sequences,), shape] if cu_seqlens is not None else [(num_sequences,), shape, (num_sequences, 1)]
        if tuple(advantages.shape) not in allowed:
            named = " or ".join(str(list(each)) for each in allowed)
            raise ValueError(f"advantages has shape {list(advantages.shape)}: it must be {named}.")
    if kl_coef > 0 and reference_logprobs is None:
        raise ValueError(f"reference_logprobs=None with kl_coef={kl_coef}: give them, or set kl_coef to 0.")
    check_same_device(**{like_name: like}, **constants, advantages=advantages, **{mask_name: mask})


def check_mask(name: str, mask: Tensor, shape: tuple[int, ...], *, meaning: str) -> None:
    check_shape(name, mask, shape, meaning=meaning)
    check_dtype(name, mask, (torch.bool, torch.uint8, *INTEGERS, *FLOATS))


def boolean_mask(name: str, mask: Tensor) -> Tensor:
    """The mask as booleans. Numbers other than 0 and 1 are refused; on a GPU the look at them waits for the device."""
    if mask.dtype == torch.bool:
        return mask
    inside = mask != 0
    if not torch.compiler.is_compiling() and bool(((mask != 1) & inside).any()):
        value = mask[(mask != 1) & inside].flatten()[0].item()
        raise ValueError(f"{name} holds {value}: it must be boolean, or 0 and 1. Weigh tokens by their advantages.")
    return inside


def checked_normalizer(
    aggregation: str,
    num_tokens: Number | Tensor | None,
    num_sequences: Number | Tensor | None,
    mask: Tensor,
) -> Tensor | None:
    """The divisor given from outside, as a 0-d tensor; refuses the one that the aggregation would not read.

    A tensor on a GPU is not looked at, which would wait for the device: a divisor of 0 gives a loss of inf or NaN
    there.
    """
    read, unread = ("num_sequences", "num_tokens") if aggregation == "grpo" else ("num_tokens", "num_sequences")
    given = {"num_tokens": num_tokens, "num_sequences": num_sequences}
    if given[unread] is not None:
        raise ValueError(f"{unread}={given[unread]} with aggregation={aggregation!r}: its divisor is {read}.")
    value = given[read]
    if value is None:
        return None
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"{read} has shape {list(value.shape)}: it must be one number.")
        value = value.detach().reshape(())
        if value.device.type == "cpu" and not torch.compiler.is_compiling():
            _check_divisor(read, float(value), mask)
        return value.to(mask.device)
    _check_divisor(read, float(value), mask)
    return torch.full((), float(value), dtype=torch.float64, device=mask.device)


def _check_divisor(name: str, value: float, mask: Tensor) -> None:
    check_not_negative(name, value)
    if value == 0 and bool(mask.any()):
        raise ValueError(f"{name}=0 with {int(mask.sum())} tokens in completion_mask: 0 divides an empty batch alone.")
