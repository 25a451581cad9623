"""Stage 2: predict judges the pool of all tasks, fit imitates the right judgements (arXiv 2505.03318, rejection sampling)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from urt_core import PreferenceRecord, SamplingParams, render
from urt_core.atomic import append, whole_lines, write_whole
from urt_core.engines import Engine
from urt_train.config import RejectionSamplingConfig
from urt_train.datasets.rejection import JudgedRecord, judged_record
from urt_train.model.policy import Policy
from urt_train.rollouts.loader import RoundPlan, plan_rounds
from urt_train.runtime.ranks import derived_seed
from urt_train.stages.cold_start import ColdStart


class RejectionSampling(ColdStart):
    """Fitting is the cold start's, on other data: RejectionSampling(policy, config, plan=plan, num_steps=200)

    Predicting: RejectionSampling(policy, config, engine=policy.engine(), journal=Path("judged.jsonl"), seed=0)
    """

    config: RejectionSamplingConfig

    def __init__(
        self,
        policy: Policy,
        config: RejectionSamplingConfig,
        *,
        plan: RoundPlan | None = None,
        num_steps: int = 0,
        engine: Engine | None = None,
        journal: Path | None = None,
        after_batch: Callable[[str], None] = lambda note: None,
        seed: int = 0,
    ) -> None:
        super().__init__(policy, config, plan=plan or plan_rounds(config, num_ranks=1), num_steps=num_steps)
        self.engine, self.journal, self.after_batch, self.seed = engine, journal, after_batch, seed
        self.num_judged = self.num_right = 0

    def predict_step(self, batch: Iterable[Sequence[PreferenceRecord]], batch_idx: int) -> int:
        """Judge this rank's share of the pool, however many batches it has: all ranks gather sharded weights in one call."""
        return self.policy.with_whole_weights(lambda: sum(map(self.judge, batch)))

    def judge(self, batch: Sequence[PreferenceRecord]) -> int:
        """Judge some pairs; their lines are in the journal before the next batch begins. Returns how many they are."""
        assert self.engine is not None
        assert self.journal is not None
        dialect = self.policy.spec.dialect
        sampling = SamplingParams(
            temperature=self.config.temperature,
            top_p=self.config.top_p,
            max_tokens=self.config.max_completion_tokens,
            num_completions=self.config.num_samples,
            # A function of the pairs: a run that goes on after a kill judges the rest as a straight one does.
            seed=derived_seed(self.seed, "pool", *(record.key for record in batch)),
        )
        groups = self.engine.generate([render(record, dialect) for record in batch], sampling)
        judged = [
            judged_record(record, group, dialect=dialect, only_consistent=self.config.only_consistent)
            for record, group in zip(batch, groups, strict=True)
        ]
        append(self.journal, "".join(pair.to_line() for pair in judged))
        self.num_judged += sum(len(pair.right) for pair in judged)
        self.num_right += sum(sum(pair.right) for pair in judged)
        self.after_batch(f"right {self.num_right / max(1, self.num_judged):.1%}")
        return len(judged)


def drop_half_line(path: Path) -> None:
    """A half line at the end was being written when a run was killed; only the rank that writes the journal may mend it."""
    if path.exists() and len(whole := "".join(whole_lines(path)).encode()) < path.stat().st_size:
        write_whole(path, whole.decode())


def read_journal(path: Path) -> dict[str, JudgedRecord]:
    """What is judged so far, by key."""
    return {pair.key: pair for pair in map(JudgedRecord.from_line, whole_lines(path))} if path.exists() else {}
