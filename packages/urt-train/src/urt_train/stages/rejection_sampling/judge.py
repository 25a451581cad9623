"""The pool judged by the policy: what Lightning predicts with, so that it runs on the devices and under the strategy of
the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from urt_core import PreferenceRecord, SamplingParams, render
from urt_core.atomic import append, whole_lines, write_whole
from urt_core.engines import Engine
from urt_train.datasets.rejection import JudgedRecord, judged_record
from urt_train.model.policy import Policy
from urt_train.runtime.ranks import derived_seed
from urt_train.stages.module import PolicyModule
from urt_train.stages.rejection_sampling.config import RejectionSamplingConfig


class PoolJudge(PolicyModule):
    """PoolJudge(policy, settings, engine=policy.engine(), journal=Path("judged.jsonl"), seed=0)"""

    def __init__(
        self,
        policy: Policy,
        settings: RejectionSamplingConfig,
        *,
        engine: Engine,
        journal: Path,
        after_batch: Callable[[str], None] = lambda note: None,
        seed: int = 0,
    ) -> None:
        super().__init__(policy)
        self.settings = settings
        self.engine, self.journal, self.after_batch, self.seed = engine, journal, after_batch, seed
        self.num_judged = self.num_right = 0

    def predict_step(self, batch: Iterable[Sequence[PreferenceRecord]], batch_idx: int) -> int:
        """Judge this rank's share of the pool, however many batches it has: all ranks gather sharded weights in one
        call."""
        return self.policy.with_whole_weights(lambda: sum(map(self.judge, batch)))

    def judge(self, batch: Sequence[PreferenceRecord]) -> int:
        """Judge some pairs; their lines are in the journal before the next batch begins. Returns how many they are."""
        dialect = self.policy.spec.dialect
        sampling = SamplingParams(
            temperature=self.settings.temperature,
            top_p=self.settings.top_p,
            max_tokens=self.settings.max_completion_tokens,
            num_completions=self.settings.num_samples,
            # A function of the pairs: a run that goes on after a kill judges the rest as a straight one does.
            seed=derived_seed(self.seed, "pool", *(record.key for record in batch)),
        )
        groups = self.engine.generate([render(record, dialect) for record in batch], sampling)
        judged = [
            judged_record(record, group, dialect=dialect, only_consistent=self.settings.only_consistent)
            for record, group in zip(batch, groups, strict=True)
        ]
        append(self.journal, "".join(pair.to_line() for pair in judged))
        self.num_judged += sum(len(pair.right) for pair in judged)
        self.num_right += sum(sum(pair.right) for pair in judged)
        self.after_batch(f"right {self.num_right / max(1, self.num_judged):.1%}")
        return len(judged)


def drop_half_line(path: Path) -> None:
    """A half line at the end was being written when a run was killed; only the rank that writes the journal may mend
    it."""
    if path.exists() and len(whole := "".join(whole_lines(path)).encode()) < path.stat().st_size:
        write_whole(path, whole.decode())


def read_journal(path: Path) -> dict[str, JudgedRecord]:
    """What is judged so far, by key."""
    return {pair.key: pair for pair in map(JudgedRecord.from_line, whole_lines(path))} if path.exists() else {}
