"""The clipped policy-gradient loss of GRPO and its variants."""

from __future__ import annotations

from typing import Unpack

from torch import Tensor

from urt_kernels.checks import FLOATS, check_dtype, check_same_device
from urt_kernels.dispatch import Impl, no_fp64, resolve
from urt_kernels.packed import check_offsets
from urt_kernels.policy_loss.arguments import boolean_mask, check_batch, checked_normalizer
from urt_kernels.policy_loss.op import grpo_loss_op
from urt_kernels.policy_loss.result import GRPOLoss
from urt_kernels.policy_loss.settings import Aggregation, Clips, checked_settings, op_arguments
from urt_kernels.shapes import Float, Int, Number, Shaped
from urt_kernels.surrogates import Surrogate

__all__ = ["GRPOLoss", "grpo_loss"]


def grpo_loss(
    policy_logprobs: Float[Tensor, "*N"],
    rollout_logprobs: Float[Tensor, "*N"],
    advantages: Float[Tensor, "*_"],
    completion_mask: Shaped[Tensor, "*N"],
    *,
    reference_logprobs: Float[Tensor, "*N"] | None = None,
    old_logprobs: Float[Tensor, "*N"] | None = None,
    aggregation: Aggregation = "grpo",
    surrogate: str | Surrogate = "clip",
    cu_seqlens: Int[Tensor, " B_plus_1"] | None = None,
    num_tokens: Number | Tensor | None = None,
    num_sequences: Number | Tensor | None = None,
    impl: Impl = "auto",
    **objective: Unpack[Clips],
) -> GRPOLoss:
    """Mean over the completion tokens of ``-w min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) + kl_coef KL``.

    Log-probs and ``completion_mask`` are ``[B, T]``, or packed ``[N]`` with ``cu_seqlens [B + 1]``; advantages are
    ``[B]`` or one per token. What lies outside ``completion_mask`` (boolean, or 0 and 1) is never read into the result.
    A token whose old, rollout or reference log-prob is NaN or infinite weighs nothing and is counted in
    ``num_left_out``; the divisors still count it. A NaN advantage or policy log-prob makes the loss NaN.

    - r: exp(policy - old) per token, or of the sequence. old is ``rollout_logprobs`` unless ``old_logprobs`` (the
      trainer's own at rollout time) is given; then w = min(exp(old - rollout), its cap), truncated importance sampling
      (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"); else w = 1.
    - Clips, ratio, cap and KL are set by name: `urt_kernels.policy_loss.settings.Clips` says what each is, and its
      default.
    - ``surrogate``: "clip" as above; "cispo", - w clip(r) A log p with r without gradient (arXiv 2506.13585, eq. 4 and
      5); or a function of a user's own, given itself or as "package.module:name" (`urt_kernels.surrogates`).
    - KL(policy || reference) per token from d = reference - policy, which is clamped to +-20.
    - Aggregation, with L_i the completion length: ``grpo`` sum_i (1 / L_i) sum_t / num_sequences (arXiv 2402.03300);
      ``dapo`` sum / num_tokens (arXiv 2503.14476); ``dr_grpo`` sum / num_tokens where num_tokens is a constant budget,
      B times the longest allowed completion (arXiv 2503.20783).

    ``num_sequences`` and ``num_tokens`` are the divisors over all micro-batches and ranks, any number above 0 (0 only
    with an empty mask); the losses then add up to that of the whole batch. Left out, they are those of this call:
    sequences that have a completion token, completion tokens, and for ``dr_grpo`` B T. Under a strategy that averages
    gradients over ranks, divide them by the number of ranks.
    """
    check_dtype("policy_logprobs", policy_logprobs, FLOATS)
    check_same_device(policy_logprobs=policy_logprobs, rollout_logprobs=rollout_logprobs)
    settings = checked_settings(**objective, surrogate=surrogate, aggregation=aggregation)
    check_batch(
        policy_logprobs,
        rollout_logprobs=rollout_logprobs,
        advantages=advantages,
        mask=completion_mask,
        reference_logprobs=reference_logprobs,
        old_logprobs=old_logprobs,
        cu_seqlens=cu_seqlens,
        kl_coef=settings.kl_coef,
    )
    mask = boolean_mask("completion_mask", completion_mask)
    if cu_seqlens is not None:
        if aggregation == "dr_grpo" and num_tokens is None:
            raise ValueError("num_tokens=None with aggregation='dr_grpo' on packed rows: give the constant budget.")
        check_offsets("cu_seqlens", cu_seqlens, len(mask), mask.device, meaning="the number of packed rows", look=False)
    elif advantages.dim() == 1:
        advantages = advantages[:, None]
    obstacle = no_fp64(policy_logprobs)
    if settings.surrogate not in ("clip", "cispo"):
        obstacle = "a surrogate of a user's own is a Python function"
    loss, _, _, metrics = grpo_loss_op(
        policy_logprobs,
        rollout_logprobs if old_logprobs is None else old_logprobs,
        None if old_logprobs is None else rollout_logprobs,
        reference_logprobs,
        advantages,
        mask,
        cu_seqlens,
        checked_normalizer(aggregation, num_tokens, num_sequences, mask),
        *op_arguments(settings),
        resolve(impl, policy_logprobs.device, operation="grpo_loss", unsupported=obstacle),
    )
    return GRPOLoss(loss, *metrics.unbind())
