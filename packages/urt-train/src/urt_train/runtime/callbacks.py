"""What happens beside training: metrics to disk, to loggers and to the progress bar; sampled completions to disk."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from rich.console import Console

from urt_core.atomic import append, whole_lines, write_whole
from urt_core.errors import CheckpointError
from urt_core.progress_bar import ProgressBar
from urt_train.runtime.identity import changes, file_states
from urt_train.runtime.ranks import all_sum, all_union, raise_first, world


class StepMetrics(Callback):
    """One row per optimizer step in metrics.csv, in every logger and behind the progress bar; summed over ranks before any division."""

    def __init__(
        self, path: Path, *, title: str, every: int = 1, segment: int = 1, console: Console | None = None
    ) -> None:
        self.path, self.title, self.every, self.segment = path, title, every, segment
        self.progress = ProgressBar(console) if console is not None else None
        self.found: dict[str, Collection[Hashable]] = {}
        """What this process finds beside training, by name; its number over all ranks is a column, where what several
        have found is one."""
        self.num_found: dict[str, tuple[float, int]] = {}
        """(sum over the ranks, of which so many are different)"""
        self.rows: list[dict[str, float]] = []
        self.columns: list[str] = []
        self.step_start = 0.0
        self.batch_start = 0.0

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        self.step_start = time.perf_counter()
        if trainer.is_global_zero:
            self.rows = [row for row in read_rows(self.path) if row["step"] <= trainer.global_step]
            self._rewrite()
            if self.progress is not None:
                self.progress.start()
                self.task = self.progress.add_task(
                    self.title, total=module.num_steps, completed=trainer.global_step, note=""
                )

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self.batch_start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        module.add(**{"time/update": time.perf_counter() - self.batch_start})
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        sums = dict(module.sums)
        module.sums.clear()
        names = sorted(sums)
        totals = dict(zip(names, all_sum([sums[name] for name in names], device=module.device), strict=True))
        seconds = time.perf_counter() - self.step_start
        self.step_start = time.perf_counter()
        metrics = {
            **module.metrics(totals),
            **{name: value / world()[1] for name, value in totals.items() if name.startswith("time/")},
            **({} if module.grad_norm is None else {"grad_norm": module.grad_norm}),
            "learning_rate": module.config.learning_rate * module.learning_rate_share(trainer.global_step - 1),
            **self._count_found(module.device),
            "time/step": seconds,
            "tokens_per_second": (totals["num_tokens"] + totals.get("prompt_tokens", 0.0)) / seconds,
        }
        if self.segment > 1:  # it went on with other settings
            metrics["segment"] = float(self.segment)
        if trainer.is_global_zero:
            self._show(trainer, metrics)

    def _count_found(self, device: torch.device) -> dict[str, float]:
        """Every rank takes part; what was found is sent around in those steps alone in which there is more of it."""
        sums = all_sum([len(found) for found in self.found.values()], device=device)
        for (name, found), total in zip(self.found.items(), sums, strict=True):
            if self.num_found.get(name, (0.0, 0))[0] != total:
                self.num_found[name] = (total, len(all_union(found)))
        return {name: float(self.num_found.get(name, (0.0, 0))[1]) for name in self.found}

    def _show(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        step = trainer.global_step
        if step % self.every == 0:
            self._append({"step": step, **metrics})
            for logger in trainer.loggers:
                logger.log_metrics(dict(metrics), step=step)
        if self.progress is not None:
            shown = [name for name in ("loss", "reward", "kl") if name in metrics]
            note = " · ".join(f"{name} {metrics[name]:.3f}" for name in shown)
            self.progress.update(self.task, completed=step, note=note)

    def _append(self, row: dict[str, float]) -> None:
        self.rows.append(row)
        if not set(row) <= set(self.columns):
            self._rewrite()
            return
        append(self.path, _csv([row], columns=self.columns))

    def _rewrite(self) -> None:
        """A column that appears late (or a resumed run) needs the whole file again."""
        self.columns = ["step", *sorted({name for row in self.rows for name in row} - {"step"})]
        names = {column: column for column in self.columns}
        write_whole(self.path, _csv([names, *self.rows], columns=self.columns))

    def teardown(self, trainer: Trainer, module: Any, stage: str) -> None:
        if self.progress is not None:
            self.progress.stop()


def _csv(rows: Iterable[Mapping[str, Any]], *, columns: Sequence[str]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, columns).writerows(rows)
    return text.getvalue()


def read_rows(path: Path) -> list[dict[str, float]]:
    rows = csv.DictReader(whole_lines(path))
    return [{name: float(cell) for name, cell in row.items() if name and cell} for row in rows]


class RolloutLog(Callback):
    """One line for each completion of a rollout's first group: {"step": 12, "key": ..., "text": ..., "reward": 2.0, ...}"""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        if trainer.is_global_zero and self.path.exists():
            lines = whole_lines(self.path)
            write_whole(self.path, "".join(line for line in lines if json.loads(line)["step"] <= trainer.global_step))

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        examples, module.examples = module.examples, []
        if examples and trainer.is_global_zero:
            lines = [
                json.dumps({"step": trainer.global_step + 1, **example}, ensure_ascii=False) for example in examples
            ]
            append(self.path, "\n".join(lines) + "\n")


class UnchangedModel(Callback):
    """The files of a model folder are what they were when they were hashed, once all weights are in their place: else the
    run would be of a model that its identity does not name. Made in front of the hashing; every rank looks at its own
    copy."""

    def __init__(self, folder: str) -> None:
        self.folder, self.states = folder, file_states(folder)

    def on_fit_start(self, trainer: Trainer, module: Any) -> None:
        found = changes(self.states, file_states(self.folder))
        failure = None
        if found:
            failure = CheckpointError(
                f"{self.folder} changed while it was opened ({next(iter(found))}); nothing was trained. Let whoever writes it finish, or"
                " copy it, then the same command goes on"
            )
        raise_first(failure)


class TimelineLog(Callback):
    """One line for each phase of a rollout: {"step": 12, "phase": "sampling", "start": 31.2, "end": 40.8}, with the first
    optimizer step that learns from it, and seconds that go on where an earlier process of the run ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0.0

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        if trainer.is_global_zero and self.path.exists():
            lines = [json.loads(line) for line in whole_lines(self.path)]
            kept = [line for line in lines if line["step"] <= trainer.global_step]
            self.offset = max((line["end"] for line in kept), default=0.0)
            write_whole(self.path, "".join(f"{json.dumps(line)}\n" for line in kept))

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self._write(trainer, module)

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        if hasattr(module, "timeline"):
            module.timeline.learned()
        self._write(trainer, module)

    def _write(self, trainer: Trainer, module: Any) -> None:
        timeline = getattr(module, "timeline", None)
        if timeline is None or not timeline.spans:
            return
        spans, timeline.spans = timeline.spans, []
        lines = [
            {
                "step": span.rollout * module.plan.steps_per_round + 1,
                "phase": span.phase,
                "start": round(self.offset + span.start, 3),
                "end": round(self.offset + span.end, 3),
            }
            for span in spans
        ]
        if trainer.is_global_zero:
            append(self.path, "".join(f"{json.dumps(line)}\n" for line in lines))
