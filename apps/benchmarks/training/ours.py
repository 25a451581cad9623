"""A step as urt takes it: one prefill for a group, packed or padded rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from benchmarks.training.rollout import Pictures
from benchmarks.training.timing import Outcome
from urt_core import Dialect, JudgeSpec, Task
from urt_core.engines.model.decoding import decode, uniform_numbers
from urt_core.engines.transformers import evaluation_mode
from urt_train.config import Batching
from urt_train.model.batching import ExperienceBatch
from urt_train.model.policy import Policy
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.objective import grpo_step


class OurStep:
    """OurStep(model, reference, rollout, pictures, batching=Batching.shared_prefix)"""

    def __init__(
        self,
        model: Any,
        reference: Any,
        rollout: ExperienceBatch,
        pictures: Pictures,
        *,
        batching: Batching,
        attention: str = "sdpa",
    ) -> None:
        spec = JudgeSpec(
            dialect=Dialect.V1, dimensions={task: task.dimensions for task in Task}, min_pixels=1, max_pixels=1, num_frames=1,
            stage="benchmark", base="random",
        )  # fmt: skip
        self.policy, self.reference = (
            Policy(part, None, None, spec=spec, batching=batching, attention=attention) for part in (model, reference)
        )
        self.rollout = self.batch = rollout
        self.data = pictures.to_tensors
        self.config = GRPOConfig(kl_coef=0.04)
        self.optimizer = torch.optim.AdamW(self.policy.parameters(), lr=0.0)

    def generate(self) -> None:
        num_prompts, group_size, length = self.rollout.completion_ids.shape
        rows = [(prompt, number) for prompt in range(num_prompts) for number in range(group_size)]
        with evaluation_mode(self.policy.model):
            decode(
                self.policy.model,
                dict(self.rollout.prompts),
                num_completions=group_size,
                max_tokens=length,
                temperature=1.0,
                top_p=1.0,
                eos_token_ids=[],
                forbidden_token_ids=[],
                uniforms=uniform_numbers(0, rows, max_tokens=length).to(self.policy.device),
            )

    @torch.no_grad()
    def logprobs(self) -> None:
        self.batch = replace(self.rollout, reference_logprobs=self.reference.token_logprobs(self.rollout).logprobs)

    def update(self) -> Outcome:
        """On-policy but for the layout: the engine's log-probs are the reference's, which has the same weights."""
        reference = self.batch.reference_logprobs
        assert reference is not None
        result = grpo_step(self.policy, replace(self.batch, rollout_logprobs=reference), self.config)
        result.loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return Outcome(result.policy_logprobs, float(result.loss.detach()))
