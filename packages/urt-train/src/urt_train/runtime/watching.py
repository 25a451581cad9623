"""The judge measured on held-out pairs while it trains, and the best of it kept beside the newest."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from urt_core import PreferenceRecord
from urt_core.atomic import append, whole_lines, write_whole
from urt_core.comparison import Order
from urt_core.judging.judge import Asked, judge
from urt_core.judging.pairs import JudgedPair
from urt_core.judging.share import Share
from urt_train.runtime.ranks import all_sum, world
from urt_train.runtime.tracking import log_samples

METRICS = ("accuracy", "position_consistency", "readable")
ROWS, BEST = "validation.jsonl", "best"


class JudgeWatch(Callback):
    """Every `every` optimizer steps the judge is asked about `records` in both orders, each rank its share of them; the
    numbers go to validation.jsonl and to every logger, some judgements to loggers that keep tables. Where `best_by` is higher than ever before, `keep` writes the
    judge into best/model, and best/best.json says of which step it is.

    JudgeWatch(folder, records=records, asked=asked, every=20, best_by="accuracy", keep=export, batch_size=64)
    """

    def __init__(
        self,
        folder: Path,
        *,
        records: Sequence[PreferenceRecord],
        asked: Asked,
        every: int,
        best_by: str,
        keep: Callable[[Path], Any],
        batch_size: int,
    ) -> None:
        self.folder, self.records, self.asked = folder, records, asked
        self.every, self.best_by, self.keep, self.batch_size = every, best_by, keep, batch_size
        self.best: float | None = None
        self.measured = 0

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        """A run that goes on has the rows up to its step, and what was best among them."""
        rows = [json.loads(line) for line in whole_lines(self.folder / ROWS)]
        rows = [row for row in rows if row["step"] <= trainer.global_step]
        self.best = max((row[self.best_by] for row in rows), default=None)
        self.measured = trainer.global_step
        if trainer.is_global_zero:
            write_whole(self.folder / ROWS, "".join(f"{json.dumps(row)}\n" for row in rows))

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if step == self.measured or step % self.every:
            return
        self.measured = step
        judged = module.policy.with_whole_weights(lambda: self._judge(module.policy))
        counts = all_sum(_counts(judged), device=module.device)
        row = {"step": step, **_rates(counts)}
        if trainer.is_global_zero:
            append(self.folder / ROWS, f"{json.dumps(row)}\n")
            for logger in trainer.loggers:
                logger.log_metrics({f"validation/{name}": row[name] for name in METRICS}, step=step)
            log_samples(
                trainer.loggers, records={record.key: record for record in self.records}, judged=judged, step=step
            )
        if self.best is None or row[self.best_by] > self.best:
            self.best = row[self.best_by]
            self.keep(self.folder / BEST / "model")
            if trainer.is_global_zero:
                about = {"step": step, "metric": self.best_by, "value": self.best}
                write_whole(self.folder / BEST / "best.json", json.dumps(about) + "\n")

    def _judge(self, policy: Any) -> list[JudgedPair]:
        rank, num = world()
        engine, share = policy.engine(batch_size=self.batch_size), Share(rank=rank, num=num)
        return list(judge(self.records, engine=engine, asked=self.asked, share=share))


def _counts(judged: Sequence[JudgedPair]) -> list[float]:
    """[judgements with a decided label, right ones, all judgements, readable ones, pairs read in both orders, steady]"""
    by_order = {(pair.key, pair.order): pair for pair in judged}
    both = [
        (given.verdict, swapped.verdict)
        for (key, order), given in by_order.items()
        if order is Order.GIVEN and (swapped := by_order.get((key, Order.SWAPPED))) is not None
    ]
    read = [(one, two) for one, two in both if one is not None and two is not None]
    decided = [pair.correct for pair in judged if pair.correct is not None]
    steady = sum(one is two.swap() for one, two in read)
    readable = sum(pair.verdict is not None for pair in judged)
    return [float(n) for n in (len(decided), sum(decided), len(judged), readable, len(read), steady)]


def _rates(counts: Sequence[float]) -> dict[str, float]:
    decided, right, judged, readable, read, steady = counts
    return {
        "accuracy": right / decided if decided else 0.0,
        "position_consistency": steady / read if read else 0.0,
        "readable": readable / judged if judged else 0.0,
        "num_judgements": judged,
    }
