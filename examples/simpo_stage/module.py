"""Right and wrong judgements in, the difference of their mean log-probs out."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from simpo_stage import SimPOConfig
from urt_train.config.stage import RoundPlan
from urt_train.model.policy import Policy
from urt_train.stages.dpo.module import DPO, ContrastBatch, Contrasts
from urt_train.stages.module import StageModule


class SimPO(DPO):
    """Reads, batches and reports as DPO does; it has no reference, and a loss of its own."""

    config: SimPOConfig

    def __init__(self, policy: Policy, config: SimPOConfig, *, plan: RoundPlan, num_steps: int) -> None:
        StageModule.__init__(self, policy, config, num_steps=num_steps)
        self.plan = plan

    def make_round(self, draw: Callable[[], Contrasts], number: int) -> list[ContrastBatch]:
        return self.micro_batches(draw())

    def training_step(self, batch: ContrastBatch, batch_idx: int) -> Tensor:
        """-ln sigmoid(beta (mean log-prob of the right - of the wrong judgement) - margin), arXiv 2405.14734, eq. 6."""
        logprobs = self.policy.token_logprobs(batch).logprobs  # [P, 2, C], 0 outside of a completion
        means = logprobs.sum(-1) / batch.completion_mask.sum(-1).clamp(min=1)
        margins = self.config.beta * (means[:, 0] - means[:, 1]) - self.config.margin
        is_pair = batch.completion_mask.any(-1).all(-1)
        loss = torch.where(is_pair, -logsigmoid(margins), 0.0).sum() / max(batch.num_sequences, 1.0)
        self.add(
            loss=loss,
            num_pairs=is_pair.sum(),
            num_tokens=batch.completion_mask.sum(),
            prompt_tokens=batch.prompts["attention_mask"].sum(),
            margin=(margins * is_pair).sum(),
            num_preferred=((margins > 0) & is_pair).sum(),
            right_logprob=(logprobs.detach().sum(-1)[:, 0] * is_pair).sum(),
            wrong_logprob=(logprobs.detach().sum(-1)[:, 1] * is_pair).sum(),
        )
        return self.step_share(loss)
