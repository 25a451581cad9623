"""Token-level objectives: what a token contributes to the loss, as a differentiable function of its log-prob and
entropy.

The door for an objective of a user's own: a function ``surrogate(inputs: SurrogateInputs) -> values [n]`` given by
itself or by its import path ``"package.module:name"``. `grpo_loss` and `linear_loss` weigh the values by the
aggregation, add the KL and entropy terms and differentiate; the function writes neither a gradient nor a sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from urt_kernels.shapes import Bool, Float, Int

# exp() of a log-ratio past this is of no use to a clipped objective and overflows in the end (verl clamps at the same
# value).
LOG_RATIO_CLAMP = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SurrogateInputs:
    """n tokens of the loss. Padding, and tokens whose constants are not finite, are left out before.

    def reinforce(inputs: SurrogateInputs) -> Tensor:
        return -inputs.advantages * inputs.policy_logprobs
    """

    policy_logprobs: Float[Tensor, " n"]
    """Log-probs under the weights that learn; differentiable."""
    entropy: Float[Tensor, " n"] | None = None
    """Entropies in nats, differentiable; None where they were not asked for (``entropy=True``)."""
    old_logprobs: Float[Tensor, " n"] | None = None
    """What the ratio divides by: the trainer's log-probs at rollout time where given, else the rollout's."""
    rollout_logprobs: Float[Tensor, " n"] | None = None
    """The engine's log-probs, where the trainer's own are given beside them (importance weights), else None."""
    reference_logprobs: Float[Tensor, " n"] | None = None
    advantages: Float[Tensor, " n"] | None = None
    sequences: Int[Tensor, " n"]
    """Number of the sequence that each token belongs to, from 0. Whole sequences are here only as far as
    ``sequences_together`` (or ``ratio="sequence"``) asked for them."""
    num_sequences: int
    rows: Int[Tensor, " n"]
    """Index of each token in the flattened rows of the call: for constants of a function's own."""
    clip_low: float = 0.2
    clip_high: float = 0.2
    dual_clip: float | None = None
    importance_cap: float = 2.0
    ratio: str = "token"

    def sequence_sums(self, values: Float[Tensor, " n"]) -> Float[Tensor, " b"]:
        """Sum over each sequence."""
        return values.new_zeros(self.num_sequences).index_add(0, self.sequences, values)

    def sequence_lengths(self) -> Float[Tensor, " b"]:
        """Tokens of each sequence, at least 1."""
        return self.sequence_sums(torch.ones_like(self.policy_logprobs.detach())).clamp(min=1)

    def log_ratios(self) -> Float[Tensor, " n"]:
        """policy - old per token, or its mean over the sequence for ``ratio="sequence"`` (GSPO, arXiv 2507.18071, eq.
        7)."""
        difference = self.policy_logprobs - self.needed("old_logprobs")
        if self.ratio == "token":
            return difference
        return (self.sequence_sums(difference) / self.sequence_lengths())[self.sequences]

    def importance(self) -> Float[Tensor, " n"] | float:
        """min(exp(old - rollout), importance_cap) (truncated importance sampling), or 1 where there is one set of
        log-probs."""
        return 1.0 if self.rollout_logprobs is None else self._uncapped().clamp(max=self.importance_cap)

    def capped(self) -> Bool[Tensor, " n"]:
        """Tokens whose importance weight is the cap."""
        if self.rollout_logprobs is None:
            return torch.zeros_like(self.policy_logprobs, dtype=torch.bool)
        return self._uncapped() > self.importance_cap

    def _uncapped(self) -> Tensor:
        return clamped_exp(self.needed("old_logprobs") - self.needed("rollout_logprobs"))

    def needed(self, name: str) -> Tensor:
        """A field that the surrogate can't do without; an error that names it where the caller left it out."""
        value = getattr(self, name)
        if value is None:
            remedy = "ask for it with entropy=True" if name == "entropy" else f"give {name}"
            raise ValueError(f"{name}=None: the surrogate reads it; {remedy}.")
        return value


Surrogate = Callable[[SurrogateInputs], Tensor]


def clip(inputs: SurrogateInputs) -> Float[Tensor, " n"]:
    """- w min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), for A < 0 at most dual_clip |A| (PPO, arXiv 1707.06347, eq.
    7; dual clip, arXiv 1912.09729, eq. 5)."""
    advantages, ratio = inputs.needed("advantages"), clamped_exp(inputs.log_ratios())
    low, high, dual = clipped(ratio.detach(), advantages, inputs)
    bounded = torch.where(low, 1.0 - inputs.clip_low, torch.where(high, 1.0 + inputs.clip_high, ratio))
    if inputs.dual_clip is not None:
        bounded = torch.where(dual, inputs.dual_clip, bounded)
    return -inputs.importance() * (bounded * advantages)


def cispo(inputs: SurrogateInputs) -> Float[Tensor, " n"]:
    """- w clip(r, 1 - clip_low, 1 + clip_high) A log p, the ratio without gradient (CISPO, arXiv 2506.13585, eq. 4 and
    5)."""
    ratio = clamped_exp(inputs.log_ratios().detach()).clamp(1.0 - inputs.clip_low, 1.0 + inputs.clip_high)
    return -inputs.importance() * ratio * inputs.needed("advantages") * inputs.policy_logprobs


def nll(inputs: SurrogateInputs) -> Float[Tensor, " n"]:
    """- log p: supervised fine-tuning."""
    return -inputs.policy_logprobs


def dpo(inputs: SurrogateInputs, *, beta: float = 0.1) -> Float[Tensor, " n"]:
    """- ln sigmoid(beta (margin of the chosen - margin of the rejected)), margin = sum of policy - reference log-probs
    (DPO, arXiv 2305.18290, eq. 7). Sequences alternate: chosen, rejected. A pair's loss is spread evenly over its
    tokens, so that the values add up to it; give ``sequences_together=2``."""
    margins = inputs.policy_logprobs
    if inputs.reference_logprobs is not None:
        margins = margins - inputs.reference_logprobs
    chosen, rejected = inputs.sequence_sums(margins).unflatten(0, (-1, 2)).unbind(-1)
    ones = torch.ones_like(inputs.policy_logprobs.detach())
    tokens = inputs.sequence_sums(ones).unflatten(0, (-1, 2)).sum(-1)
    return (-logsigmoid(beta * (chosen - rejected)) / tokens.clamp(min=1))[inputs.sequences // 2]


BUILT_IN: dict[str, Surrogate] = {"clip": clip, "cispo": cispo, "nll": nll, "dpo": dpo}
TOGETHER = {"dpo": 2}
"""Neighbouring sequences whose tokens the built-in must see at once; 0 for those not named."""


def clipped(ratio: Tensor, advantages: Tensor, inputs: SurrogateInputs) -> tuple[Tensor, Tensor, Tensor]:
    """Which tokens lose their gradient to the lower clip, to the upper clip and to the dual clip."""
    negative = advantages < 0
    low = negative & (ratio < 1.0 - inputs.clip_low)
    high = (advantages > 0) & (ratio > 1.0 + inputs.clip_high)
    dual = negative & (ratio > inputs.dual_clip) if inputs.dual_clip is not None else torch.zeros_like(low)
    return low, high, dual


def clamped_exp(exponent: Tensor) -> Tensor:
    return exponent.clamp(-LOG_RATIO_CLAMP, LOG_RATIO_CLAMP).exp()


def kl_estimate(difference: Tensor, *, kl: str, kl_clamp: float | None) -> Tensor:
    """The estimate of KL(policy || reference) per token from d = reference - policy log-prob (Schulman 2020,
    "Approximating KL divergence"): k1 = -d, k2 = d^2 / 2, k3 = exp(d) - d - 1, d clamped to +-20 and the estimate to
    +-kl_clamp."""
    clamped = difference.clamp(-LOG_RATIO_CLAMP, LOG_RATIO_CLAMP)
    if kl == "k1":
        value = -clamped
    elif kl == "k2":
        value = clamped.square() / 2
    else:
        value = clamped.expm1() - clamped
    return value if kl_clamp is None else value.clamp(-kl_clamp, kl_clamp)


# Functions that can't be found by an import path (closures, partial objects), as long as their caller keeps them.
_given: WeakValueDictionary[str, Surrogate] = WeakValueDictionary()


@torch.compiler.assume_constant_result
def surrogate_name(surrogate: str | Surrogate) -> str:
    """The text under which `surrogate_function` finds it again: an op takes numbers, tensors and text, no functions."""
    if isinstance(surrogate, str):
        surrogate_function(surrogate)
        return surrogate
    if not callable(surrogate):
        raise ValueError(
            f"surrogate={surrogate!r}: it must be a function, one of {_names()}, or 'package.module:name'."
        )
    for name, built_in in BUILT_IN.items():
        if surrogate is built_in:
            return name
    name = f"{getattr(surrogate, '__module__', '')}:{getattr(surrogate, '__qualname__', '')}"
    if _found(name) is surrogate:
        return name
    name = f"function {id(surrogate)}"
    _given[name] = surrogate
    return name


def surrogate_function(name: str) -> Surrogate:
    found = BUILT_IN.get(name) or _given.get(name) or _found(name)
    if found is None:
        raise ValueError(f"surrogate={name!r}: allowed are {_names()}, or 'package.module:name' of a function.")
    return found


def _found(path: str) -> Surrogate | None:
    module, _, name = path.partition(":")
    if not module or not name or "<" in name:
        return None
    try:
        found = import_module(module)
    except ImportError as error:
        raise ValueError(f"surrogate={path!r}: module {module!r} can't be imported ({error}).") from error
    value: Any = found
    for part in name.split("."):
        value = getattr(value, part, None)
    return cast(Surrogate, value) if callable(value) else None


def _names() -> str:
    return ", ".join(map(repr, BUILT_IN))
