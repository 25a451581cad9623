"""The pool judged by the policy: what Lightning predicts with, so that it runs on the devices and under the strategy of
the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from urt_core import PreferenceRecord, SamplingParams
from urt_core.engines import Engine
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked, judge
from urt_core.judging.share import Share
from urt_train.config import Orders
from urt_train.model.policy import Policy
from urt_train.stages.module import PolicyModule
from urt_train.stages.rejection_sampling.config import RejectionSamplingConfig


class PoolJudge(PolicyModule):
    """PoolJudge(policy, settings, engine=policy.engine(), journal=journal, share=Share(rank=0, num=2), seed=0)"""

    def __init__(
        self,
        policy: Policy,
        settings: RejectionSamplingConfig,
        *,
        engine: Engine,
        journal: Journal,
        share: Share,
        after_judgement: Callable[[str], None] = lambda note: None,
        seed: int = 0,
    ) -> None:
        super().__init__(policy)
        self.settings = settings
        self.engine, self.journal, self.share = engine, journal, share
        self.after_judgement, self.seed = after_judgement, seed

    def predict_step(self, batch: Iterator[Sequence[PreferenceRecord]], batch_idx: int) -> int:
        """Judge this rank's share of the pool, however large it is: all ranks gather sharded weights in one call."""
        return self.policy.with_whole_weights(lambda: sum(map(self.judge, batch)))

    def judge(self, pool: Sequence[PreferenceRecord]) -> int:
        """Judge what of this rank's share is not judged yet; every line is in the journal before the next pairs are asked
        about. Returns the number of judgements."""
        num_judged = num_right = 0
        for pair in judge(
            pool,
            engine=self.engine,
            asked=asked(self.settings, dialect=self.policy.spec.dialect, seed=self.seed),
            journal=self.journal,
            share=self.share,
            block=self.settings.judge_batch_size,
        ):
            num_judged += 1
            num_right += bool(pair.correct)
            self.after_judgement(f"right {num_right / num_judged:.1%}")
        return num_judged


def asked(settings: RejectionSamplingConfig, *, dialect: Any, seed: int) -> Asked:
    sampling = SamplingParams(
        temperature=settings.temperature, top_p=settings.top_p, max_tokens=settings.max_completion_tokens
    )
    return Asked(
        dialect=dialect,
        orders="random" if settings.orders is Orders.random else "given",
        votes=settings.num_samples,
        sampling=sampling,
        seed=seed,
        purpose="pool",
    )
