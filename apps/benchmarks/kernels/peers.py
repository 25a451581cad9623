"""Other implementations: plain ones of the same formulas, written for the comparison, and packages where they are
installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor


class Missing(Exception):
    """A peer that can't run here; the message is the reason that the table prints."""


@contextmanager
def as_missing(*, ours: bool) -> Iterator[None]:
    """Whatever a peer raises on a shape, type or device that it does not take. Ours takes them all: its errors end the
    run."""
    try:
        yield
    except Missing:
        raise
    except Exception as reason:
        if ours:
            raise
        raise Missing(f"{type(reason).__name__}: {str(reason).partition(chr(10))[0][:120]}") from reason


def peer(module: str, name: str) -> Any:
    """A function of an installed package, or the reason why there is none."""
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, RuntimeError) as reason:
        raise Missing(f"{module}.{name}: {type(reason).__name__}: {str(reason).splitlines()[0]}") from reason


def eager_logprobs(logits: Tensor, targets: Tensor, temperature: float, entropy: bool) -> tuple[Tensor, ...]:
    log_p = (logits.float() / temperature).log_softmax(-1)
    chosen = log_p.gather(-1, targets[:, None])[:, 0]
    return (chosen, -(log_p.exp() * log_p).sum(-1)) if entropy else (chosen,)


def rowwise_logprobs(logits: Tensor, targets: Tensor) -> Tensor:
    """The shape of TRL's selective_log_softmax: row by row, log_softmax in the logits' type, for half types."""
    if logits.dtype in (torch.float32, torch.float64):
        chosen = logits.gather(-1, targets[..., None])[..., 0]
        return chosen - torch.stack([row.logsumexp(-1) for row in logits])
    rows = zip(logits, targets, strict=True)
    return torch.stack([row.log_softmax(-1).gather(-1, target[..., None])[..., 0] for row, target in rows])


def trl_selective_log_softmax() -> Callable[[Tensor, Tensor, float], Tensor]:
    """Takes the temperature itself: a division beforehand would be a pass of its own over the logits."""
    return peer("trl.trainer.utils", "selective_log_softmax")


def trl_logprobs_and_entropy() -> Callable[[Tensor, Tensor, bool, float], tuple[Tensor, Tensor]]:
    return peer("trl.trainer.utils", "selective_log_softmax_and_entropy")


def trl_chunked_head() -> Callable[[Tensor, Tensor, Tensor, float], Tensor]:
    function = peer("trl.kernels.chunked_logprob", "ChunkedLogProbFunction")
    return lambda hidden, weight, targets, temperature: function.apply(
        hidden, weight, None, targets, temperature, 32768, None, 1.0, ()
    )[0]


def liger_logprobs() -> Callable[[Tensor, Tensor, float], Tensor]:
    """Liger wants [B, L + 1, V] and leaves the last position out; forward only."""
    kernel = peer("liger_kernel.ops.grpo_loss", "fused_selective_log_softmax")

    def run(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
        # [N, V] as N sequences of one token would copy; one sequence of N - 1 tokens does not.
        return kernel(logits[None], targets[None, :-1], temperature=temperature)[0]

    return run


def eager_linear(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> Tensor:
    return eager_logprobs(hidden @ weight.T, targets, temperature, False)[0]


def liger_linear() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    function = peer("liger_kernel.ops.fused_linear_cross_entropy", "LigerFusedLinearCrossEntropyFunction")

    def run(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        result = function.apply(hidden, weight, targets, None, None, -100, 0.0, 0.0, "none")
        return -(result[0] if isinstance(result, tuple) else result)

    return run


def liger_scaled_linear() -> Callable[[Tensor, Tensor, Tensor, float], Tensor]:
    """Liger's native head for sm_90 and above."""
    if not torch.cuda.is_available():
        raise Missing("liger_kernel fused_linear_scaled_cross_entropy: needs a GPU of sm_90 or above")
    name = "LigerFusedLinearScaledCrossEntropyFunction"
    function = peer("liger_kernel.ops.fused_linear_scaled_cross_entropy", name)

    def run(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> Tensor:
        result = function.apply(hidden, weight, targets, temperature)
        return -(result[0] if isinstance(result, tuple) else result)

    return run


def cut_cross_entropy_linear() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    if not torch.cuda.is_available():
        raise Missing("cut_cross_entropy: its Triton kernels need a GPU")
    function = peer("cut_cross_entropy", "linear_cross_entropy")
    return lambda hidden, weight, targets: -function(hidden, weight, targets, reduction="none")


def torch_linear_cross_entropy() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    function = peer("torch.nn.functional", "linear_cross_entropy")
    return lambda hidden, weight, targets: -function(hidden, weight, targets, reduction="none")


def eager_grpo_loss(policy: Tensor, rollout: Tensor, reference: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    ratio = (policy - rollout).exp()
    advantages = advantages[:, None]
    objective = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.28) * advantages)
    difference = reference - policy
    kl = difference.exp() - difference - 1
    return ((0.04 * kl - objective) * mask).sum() / mask.sum()


def eager_advantages(rewards: Tensor) -> Tensor:
    return (rewards - rewards.mean(-1, keepdim=True)) / (rewards.std(-1, keepdim=True) + 1e-4)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    if not torch.cuda.is_available():
        raise Missing("torch.compile is measured on a GPU only: its C++ takes minutes to build")
    return torch.compile(function, dynamic=False)
