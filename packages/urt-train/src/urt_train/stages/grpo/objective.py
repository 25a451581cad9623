"""The objective of GRPO: this micro-batch's share of the loss of the whole optimizer step. The divisors in the batch
count all micro-batches and ranks, so the shares add up however the step is cut."""

from __future__ import annotations

from typing import Any

from urt_core.doors import load_door
from urt_kernels import LinearLoss
from urt_kernels.surrogates import BUILT_IN, Surrogate
from urt_train.model.batching import ExperienceBatch
from urt_train.model.policy import Policy
from urt_train.stages.grpo.config import GRPOConfig


def grpo_step(policy: Policy, batch: ExperienceBatch, config: GRPOConfig) -> LinearLoss:
    """The surrogate that `config` names, with its KL term, in one pass over the head; `urt_kernels.grpo_loss` has the
    formulas."""
    return policy.token_loss(
        batch,
        temperature=config.temperature,
        entropy=True,
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
    # Without a cap the ratio is to the engine's log-probs, and none is needed.
    cap = {} if config.importance_cap is None else {"importance_cap": config.importance_cap}
    return {
        "surrogate": surrogate_of(config),
        "clip_low": config.clip_low,
        "clip_high": config.clip_high,
        "kl_coef": config.kl_coef,
        "kl": config.kl,
        "ratio": config.ratio.value,
        "aggregation": config.aggregation,
        **divisors[config.aggregation],
        **cap,
    }


def surrogate_of(config: GRPOConfig) -> Surrogate:
    expected = "a function of urt_kernels.SurrogateInputs that returns one value per token"
    return load_door(
        config.surrogate, kind="grpo.surrogate", group="urt.surrogates", built_in=BUILT_IN, expected=expected
    )
