"""The objective of GRPO: this micro-batch's share of the loss of the whole optimizer step. The divisors in the batch
count all micro-batches and ranks, so the shares add up however the step is cut."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from urt_core.doors import load_door
from urt_kernels import GRPOLoss, LinearLoss, grpo_loss
from urt_kernels.surrogates import BUILT_IN, Surrogate
from urt_train.model.batching import ExperienceBatch
from urt_train.model.policy import Policy
from urt_train.stages.grpo.config import GRPOConfig


def grpo_objective(policy_logprobs: Float[Tensor, "P G C"], batch: ExperienceBatch, config: GRPOConfig) -> GRPOLoss:
    """The surrogate that `config` names, with its KL term, on log-probs that are there; `urt_kernels.grpo_loss` has the
    formulas."""
    return grpo_loss(
        policy_logprobs.flatten(0, 1),
        batch.rollout_logprobs.flatten(0, 1),
        batch.advantages.flatten(),
        batch.completion_mask.flatten(0, 1),
        reference_logprobs=_flat(batch.reference_logprobs),
        old_logprobs=_flat(batch.old_logprobs),
        **settings(batch, config),
    )


def grpo_step(policy: Policy, batch: ExperienceBatch, config: GRPOConfig, *, entropy: bool = True) -> LinearLoss:
    """The same from the weights, in one pass over the head."""
    return policy.token_loss(
        batch,
        temperature=config.temperature,
        entropy=entropy,
        rollout_logprobs=batch.rollout_logprobs,
        advantages=batch.advantages.flatten(),
        reference_logprobs=batch.reference_logprobs,
        old_logprobs=batch.old_logprobs,
        **settings(batch, config),
    )


def settings(batch: ExperienceBatch, config: GRPOConfig) -> dict[str, Any]:
    """Surrogate, clips, KL and the divisor over the whole optimizer step."""
    divisors = {
        "grpo": {"num_sequences": max(batch.num_sequences, 1.0)},
        "dapo": {"num_tokens": max(batch.num_tokens, 1.0)},
        "dr_grpo": {"num_tokens": max(batch.num_sequences, 1.0) * config.max_completion_tokens},
    }
    return {
        "surrogate": surrogate_of(config),
        "clip_low": config.clip_low,
        "clip_high": config.clip_high,
        "importance_cap": config.importance_cap or 2.0,
        "kl_coef": config.kl_coef,
        "kl": config.kl,
        "ratio": config.ratio.value,
        "aggregation": config.aggregation,
        **divisors[config.aggregation],
    }


def surrogate_of(config: GRPOConfig) -> Surrogate:
    expected = "a function of urt_kernels.SurrogateInputs that returns one value per token"
    return load_door(
        config.surrogate, kind="grpo.surrogate", group="urt.surrogates", built_in=BUILT_IN, expected=expected
    )


def _flat(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.flatten(0, 1)
