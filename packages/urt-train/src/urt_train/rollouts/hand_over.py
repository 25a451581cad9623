"""What every engine over a copy of the policy's weights does: it takes them before a rollout, and a canary says whether
they arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from urt_core import Completion, Prompt, SamplingParams
from urt_core.engines import Engine
from urt_core.engines.transformers import evaluation_mode
from urt_train.errors import ParityError
from urt_train.model.batching import TokenBatch, pack_completions
from urt_train.model.policy import Policy
from urt_train.rollouts.rollout import probability_ratio_error

CANARY = Prompt(parts=("Which of the two images is better?",))
CANARY_SAMPLING = SamplingParams(max_tokens=8, logprobs=True)


@runtime_checkable
class EngineCopy(Engine, Protocol):
    """An engine whose weights are not the policy's own."""

    def wake(self, policy: Policy) -> None:
        """Take the policy's weights and forget all that was computed with older ones. Every rank of the policy takes
        part."""
        ...

    def sleep(self) -> None:
        """Give back what the policy needs to learn."""
        ...


@runtime_checkable
class EngineBeside(EngineCopy, Protocol):
    """A copy on devices of its own, which can sample while the policy learns."""

    def begin(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> Future[list[list[Completion]]]:
        """What `generate` gives, begun and not waited for."""
        ...


def check_canary(policy: Policy, answers: Mapping[str, Completion], *, limit: float) -> None:
    """Short greedy answers, by who gave them, must have the log-probs that the policy gives them: weights that got lost
    or stale show here at once."""
    ids, mask = pack_completions([[answer.token_ids] for answer in answers.values()])
    batch = TokenBatch(prompts=policy.encode([CANARY] * len(answers)), completion_ids=ids, completion_mask=mask)
    with torch.no_grad(), evaluation_mode(policy):
        trainer: Tensor = policy.token_logprobs(batch.to(policy.device)).logprobs[:, 0].cpu()
    for row, (engine, answer) in enumerate(answers.items()):
        error = probability_ratio_error(trainer[row, : len(answer.token_ids)], torch.tensor(answer.logprobs))
        if not error <= limit:
            raise ParityError(
                f"after handing over the weights, {engine} and the policy disagree on a fixed prompt: mean exp|difference| of its"
                f" log-probs is {error:.4f}, allowed is {limit} (grpo.parity_limit). Sample with grpo.engine=transformers meanwhile"
            )
