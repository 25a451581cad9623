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
    """The settings of an objective beside its surrogate and aggregation, as keyword arguments; `grpo_loss` documents them."""

    clip_low: Number
    clip_high: Number
    dual_clip: Number | None
    importance_cap: Number
    kl_coef: Number
    kl: Kl
    kl_clamp: Number | None
    ratio: Ratio


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
