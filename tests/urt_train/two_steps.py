"""The loss of GRPO from log-probs that are there, on its own: what one pass over the head must equal."""

from torch import Tensor

from urt_kernels import GRPOLoss, grpo_loss
from urt_train.model.batching import ExperienceBatch
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.objective import settings


def grpo_objective(policy_logprobs: Tensor, batch: ExperienceBatch, config: GRPOConfig) -> GRPOLoss:
    """`policy_logprobs` are [P, G, C], of the policy that learns."""
    return grpo_loss(
        policy_logprobs.flatten(0, 1),
        batch.rollout_logprobs.flatten(0, 1),
        batch.advantages.flatten(),
        batch.completion_mask.flatten(0, 1),
        reference_logprobs=_flat(batch.reference_logprobs),
        old_logprobs=_flat(batch.old_logprobs),
        **settings(batch, config),
    )


def _flat(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.flatten(0, 1)
