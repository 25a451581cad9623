"""Pairs judged by the policy before it learns from them: what Lightning predicts with, so that it runs on the devices and under the
strategy of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from urt_core import PreferenceRecord
from urt_core.engines import Engine
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked, judge
from urt_core.judging.pairs import JudgedPair
from urt_core.judging.share import Share
from urt_core.progress_bar import ProgressBar
from urt_train.model.policy import Policy
from urt_train.stages.module import PolicyModule


class PoolJudge(PolicyModule):
    """PoolJudge(policy, asked=Asked(dialect=Dialect.V1), block=32, engine=policy.engine(), journal=journal, share=Share(rank=0, num=2))"""

    def __init__(
        self,
        policy: Policy,
        *,
        asked: Asked,
        block: int,
        engine: Engine,
        journal: Journal,
        share: Share,
        after_judgement: Callable[[JudgedPair], None] = lambda pair: None,
    ) -> None:
        super().__init__(policy)
        self.asked, self.block = asked, block
        self.engine, self.journal, self.share = engine, journal, share
        self.after_judgement = after_judgement

    def predict_step(self, batch: Iterator[Sequence[PreferenceRecord]], batch_idx: int) -> int:
        """Judge this rank's share of the pool, however large it is: all ranks gather sharded weights in one call."""
        return self.policy.with_whole_weights(lambda: sum(map(self.judge, batch)))

    def judge(self, pool: Sequence[PreferenceRecord]) -> int:
        """Judge what of this rank's share is not judged yet; every line is in the journal before the next pairs are asked
        about. Returns the number of judgements."""
        number = 0
        for pair in judge(
            pool, engine=self.engine, asked=self.asked, journal=self.journal, share=self.share, block=self.block
        ):
            number += 1
            self.after_judgement(pair)
        return number


class OneBatch:
    """The pool as a data loader with one item, which Lightning leaves as it is."""

    def __init__(self, pool: Sequence[PreferenceRecord]) -> None:
        self.pool = pool

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Iterator[Sequence[PreferenceRecord]]]:
        yield iter([self.pool])


def num_left(num_asked: int, journal: Journal, share: Share) -> int:
    """Judgements that this process has still to make, of so many over all processes."""
    return -(-(num_asked - len(journal.answered)) // share.num)


@contextmanager
def judging_bar(console: Console | None, *, title: str, total: int) -> Iterator[Callable[[JudgedPair], None]]:
    """A bar over the judgements of a share; what it gives is to be called with each of them."""
    if console is None:
        yield lambda pair: None
        return
    with ProgressBar(console) as bar:
        task = bar.add_task(f"{title}: judging", total=total, note="")
        num_judged = num_right = num_labelled = 0

        def advance(pair: JudgedPair) -> None:
            nonlocal num_judged, num_right, num_labelled
            num_judged, num_labelled = num_judged + 1, num_labelled + (pair.correct is not None)
            num_right += bool(pair.correct)
            note = f"right {num_right / num_labelled:.1%}" if num_labelled else ""
            bar.update(task, advance=1, note=note)

        yield advance
