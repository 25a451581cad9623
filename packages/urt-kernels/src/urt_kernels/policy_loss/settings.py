"""The settings of an objective: as callers give them, checked, and as an op takes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypedDict

from urt_kernels.checks import check_choice, check_not_negative, check_positive
from urt_kernels.shapes import Number
from urt_kernels.surrogates import Surrogate, surrogate_name

Kl = Literal["k1", "k2", "k3"]
Ratio = Literal["token", "sequence"]
Aggregation = Literal["grpo", "dapo", "dr_grpo"]


class Clips(TypedDict, total=False):
    """The settings of an objective beside its surrogate and aggregation, as keyword arguments; r, w and A are those of
    `grpo_loss`.

    >>> grpo_loss(logprobs, rollout_logprobs, advantages, mask, clip_high=0.28, kl_coef=0.04)
    """

    clip_low: Number
    """r counts as 1 - clip_low where it is below; 0.2 where left out, at most 1."""
    clip_high: Number
    """r counts as 1 + clip_high where it is above; 0.2. Above ``clip_low`` it is DAPO's clip-higher (arXiv 2503.14476)."""
    dual_clip: Number | None
    """For A < 0 the objective is at least this times A (arXiv 1912.09729, eq. 5); None: no such bound. Above 1."""
    importance_cap: Number
    """What w is cut at; 2.0."""
    kl_coef: Number
    """What the KL estimate is multiplied by; 0.0. Above 0 it needs ``reference_logprobs``."""
    kl: Kl
    """The estimate, with d = reference - policy: k1 = -d, k2 = d^2 / 2, k3 = exp(d) - d - 1 (Schulman 2020,
    "Approximating KL divergence"); k3."""
    kl_clamp: Number | None
    """The estimate is clamped to +- this, without gradient beyond; 10.0, as in verl. None: not at all."""
    ratio: Ratio
    """"token": r of each token (PPO, arXiv 1707.06347, eq. 7; GRPO, arXiv 2402.03300, eq. 3), the default. "sequence": exp
    of the mean of policy - old over the completion (GSPO, arXiv 2507.18071, eq. 7)."""


class GRPOSettings(NamedTuple):
    """The numbers and choices of the objective, already checked.

    >>> GRPOSettings(clip_low=0.2, clip_high=0.28, dual_clip=None, importance_cap=2.0, kl_coef=0.04, kl_clamp=10.0,
    ...              entropy_coef=0.0, kl="k3", ratio="token", aggregation="dapo", surrogate="clip")
    """

    clip_low: float
    clip_high: float
    dual_clip: float | None
    importance_cap: float
    kl_coef: float
    kl_clamp: float | None
    entropy_coef: float
    kl: str
    ratio: str
    aggregation: str
    surrogate: str

    @classmethod
    def of(cls, numbers: Sequence[float], kl: str, ratio: str, aggregation: str, surrogate: str) -> GRPOSettings:
        low, high, dual, cap, kl_coef, clamp, entropy_coef = numbers
        bounds = [None if each == math.inf else each for each in (dual, clamp)]
        return cls(low, high, bounds[0], cap, kl_coef, bounds[1], entropy_coef, kl, ratio, aggregation, surrogate)

    def of_surrogate(self) -> dict[str, Any]:
        """Those that `SurrogateInputs` shows to a surrogate, by its names."""
        names = ("clip_low", "clip_high", "dual_clip", "importance_cap", "ratio")
        return {name: getattr(self, name) for name in names}


class OpArguments(NamedTuple):
    """What an op takes: the numbers (infinity for a bound that is None), and the choices. `GRPOSettings.of` reads them.

    >>> op_arguments(settings).numbers
    """

    numbers: list[float]
    kl: str
    ratio: str
    aggregation: str
    surrogate: str


def op_arguments(settings: GRPOSettings) -> OpArguments:
    *numbers, kl, ratio, aggregation, surrogate = settings
    return OpArguments([math.inf if each is None else each for each in numbers], kl, ratio, aggregation, surrogate)


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
    surrogate: str | Surrogate = "clip",
    entropy_coef: Number = 0.0,
) -> GRPOSettings:
    check_choice("kl", kl, ("k1", "k2", "k3"))
    check_choice("ratio", ratio, ("token", "sequence"))
    check_choice("aggregation", aggregation, ("grpo", "dapo", "dr_grpo"))
    check_not_negative("clip_low", clip_low)
    check_not_negative("clip_high", clip_high)
    check_not_negative("kl_coef", kl_coef)
    check_not_negative("entropy_coef", entropy_coef)
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
        surrogate=surrogate_name(surrogate),
        entropy_coef=float(entropy_coef),
    )
