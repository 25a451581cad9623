"""The objective of GRPO: this micro-batch's share of the loss of the whole optimizer step. The divisors in the batch
count all micro-batches and ranks, so the shares add up however the step is cut."""

from __future__ import annotations

from typing import Any

import torch

from urt_core.doors import load_door, only_parameter, what_was_raised
from urt_core.errors import ConfigError
from urt_kernels import LinearLoss, SurrogateInputs
from urt_kernels.surrogates import Surrogate, cispo, clip
from urt_train.model.batching import ExperienceBatch
from urt_train.model.policy import Policy
from urt_train.stages.grpo.config import GRPOConfig

BUILT_IN: dict[str, Surrogate] = {"clip": clip, "cispo": cispo}
"""Those of urt_kernels that learn from advantages."""
EXPECTED = (
    "def surrogate(inputs: urt_kernels.SurrogateInputs) -> Tensor of one finite value per token, differentiable by"
    " inputs.policy_logprobs"
)


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
    path, kind = config.surrogate, "grpo.surrogate"
    surrogate = load_door(path, kind=kind, group="urt.surrogates", built_in=BUILT_IN, expected=EXPECTED)
    only_parameter(surrogate, path, kind=kind, expected=EXPECTED)
    return surrogate


def try_out(config: GRPOConfig) -> None:
    """Calls the surrogate twice, on made-up tokens with what these settings give it, and differentiates: a wrong type or
    shape, nothing to learn from, or nothing learned from the rewards is an error now and not after the weights have been
    read and the first rollout paid for."""
    surrogate = surrogate_of(config)
    try:
        problem = _problem(surrogate, config)
    except (Exception, SystemExit) as error:  # noqa: BLE001  (code of a user's may raise anything)
        problem = f"raised {what_was_raised(error)}"
    if problem:
        raise ConfigError(f"grpo.surrogate {config.surrogate!r} {problem}; expected: {EXPECTED}")


def _problem(surrogate: Surrogate, config: GRPOConfig) -> str | None:
    learned: list[list[torch.Tensor]] = []
    for advantages in ((1.0, -1.0), (-2.0, 0.5)):  # neither of one sign nor of one size
        inputs, leaves = _made_up(config, advantages)
        values = surrogate(inputs)
        if not isinstance(values, torch.Tensor):
            return f"returned a {type(values).__name__}"
        if values.shape != leaves[0].shape:
            return f"returned the shape {list(values.shape)} for {len(leaves[0])} tokens"
        if not values.isfinite().all():
            return f"returned {values.tolist()}"
        if not values.requires_grad:
            return "returned values without a gradient, from which nothing is learned"
        found = torch.autograd.grad(values.sum(), leaves, allow_unused=True)
        gradients = [gradient for gradient in found if gradient is not None]
        if not gradients:
            return "returned values without a gradient by log-prob or entropy, from which nothing is learned"
        wrong = next((gradient for gradient in gradients if not gradient.isfinite().all()), None)
        if wrong is not None:
            return f"has the gradient {wrong.tolist()}"
        learned.append(gradients)
    one, other = map(torch.cat, learned)
    return "learns the same from any advantages, so that no reward counts" if torch.equal(one, other) else None


def _made_up(
    config: GRPOConfig, advantages: tuple[float, float]
) -> tuple[SurrogateInputs, tuple[torch.Tensor, torch.Tensor]]:
    """Two completions of two tokens, and the log-probs and entropies to differentiate by."""
    logprobs = torch.tensor([-1.0, -2.0, -1.5, -0.5])
    policy, entropy = logprobs.clone().requires_grad_(), torch.ones(4, requires_grad=True)
    inputs = SurrogateInputs(
        policy_logprobs=policy.clone(),
        entropy=entropy.clone(),
        old_logprobs=logprobs,
        rollout_logprobs=None if config.importance_cap is None else logprobs,
        reference_logprobs=logprobs if config.kl_coef else None,
        advantages=torch.tensor(advantages).repeat_interleave(2),
        sequences=torch.tensor([0, 0, 1, 1]),
        num_sequences=2,
        rows=torch.arange(4),
        clip_low=config.clip_low,
        clip_high=config.clip_high,
        ratio=config.ratio.value,
    )
    return inputs, (policy, entropy)
