"""Checks of the arguments that grpo_loss and linear_grpo_loss share, and what they become for the op."""

from __future__ import annotations

from typing import Literal, TypedDict

import torch
from torch import Tensor

from urt_kernels.checks import (
    FLOATS,
    INTEGERS,
    check_choice,
    check_dtype,
    check_not_negative,
    check_positive,
    check_same_device,
    check_shape,
)
from urt_kernels.grpo_loss.result import GRPOSettings
from urt_kernels.shapes import Number

Kl = Literal["k1", "k2", "k3"]
Ratio = Literal["token", "sequence"]
Aggregation = Literal["grpo", "dapo", "dr_grpo"]


class Objective(TypedDict, total=False):
    """The settings of the objective, as keyword arguments; `grpo_loss` documents them."""

    clip_low: Number
    clip_high: Number
    dual_clip: Number | None
    importance_cap: Number
    kl_coef: Number
    kl: Kl
    kl_clamp: Number | None
    ratio: Ratio
    aggregation: Aggregation


def checked_settings(
    *,
    clip_low: Number = 0.2,
    clip_high: Number = 0.2,
    dual_clip: Number | None = None,
    importance_cap: Number = 2.0,
    kl_coef: Number = 0.0,
    kl: Kl = "k3",
    kl_clamp: Number | None = 10.0,
    ratio: Ratio = "token",
    aggregation: Aggregation = "grpo",
) -> GRPOSettings:
    check_choice("kl", kl, ("k1", "k2", "k3"))
    check_choice("ratio", ratio, ("token", "sequence"))
    check_choice("aggregation", aggregation, ("grpo", "dapo", "dr_grpo"))
    check_not_negative("clip_low", clip_low)
    check_not_negative("clip_high", clip_high)
    check_not_negative("kl_coef", kl_coef)
    check_positive("importance_cap", importance_cap)
    if clip_low > 1:
        raise ValueError(f"clip_low={clip_low}: it must be at most 1 (the ratio is clipped at 1 - clip_low).")
    if dual_clip is not None:
        check_positive("dual_clip", dual_clip)
        if dual_clip <= 1:
            raise ValueError(f"dual_clip={dual_clip}: it must be above 1, or None.")
    if kl_clamp is not None:
        check_positive("kl_clamp", kl_clamp)
    return GRPOSettings(
        clip_low=float(clip_low),
        clip_high=float(clip_high),
        dual_clip=None if dual_clip is None else float(dual_clip),
        importance_cap=float(importance_cap),
        kl_coef=float(kl_coef),
        kl=kl,
        kl_clamp=None if kl_clamp is None else float(kl_clamp),
        ratio=ratio,
        aggregation=aggregation,
    )


def check_batch(
    shape: tuple[int, int],
    rollout: Tensor,
    advantages: Tensor,
    mask: Tensor,
    reference: Tensor | None,
    old: Tensor | None,
    kl_coef: float,
) -> None:
    """Check everything that has one value per token (or sequence) against the shape ``[B, T]``."""
    for name, values in {
        "rollout_logprobs": rollout,
        "reference_logprobs": reference,
        "old_logprobs": old,
    }.items():
        if values is not None:
            check_shape(name, values, shape, meaning="[B, T]")
            check_dtype(name, values, FLOATS)
    check_shape("completion_mask", mask, shape, meaning="[B, T]")
    check_dtype("completion_mask", mask, (torch.bool, torch.uint8, *INTEGERS, *FLOATS))
    check_dtype("advantages", advantages, FLOATS)
    if tuple(advantages.shape) not in (shape[:1], shape):
        raise ValueError(
            f"advantages has shape {list(advantages.shape)}: it must be {list(shape[:1])} or {list(shape)}."
        )
    if kl_coef > 0 and reference is None:
        raise ValueError(f"reference_logprobs=None with kl_coef={kl_coef}: give them, or set kl_coef to 0.")
    check_same_device(
        rollout_logprobs=rollout,
        advantages=advantages,
        completion_mask=mask,
        reference_logprobs=reference,
        old_logprobs=old,
    )


def checked_normalizer(
    aggregation: str,
    num_tokens: Number | Tensor | None,
    num_sequences: Number | Tensor | None,
    device: torch.device,
) -> Tensor | None:
    """The divisor given from outside, as a 0-d tensor; refuses the one that the aggregation would not read."""
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
        return value.detach().reshape(()).to(device)
    check_positive(read, value)
    return torch.full((), float(value), dtype=torch.float64, device=device)
