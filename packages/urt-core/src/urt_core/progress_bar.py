"""How far a loop is that others print beside: a bar that stays below what they print, within 80 columns, with the base
install's line (`urt_core.progress`) where it can't be drawn over."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from urt_core.progress import LINE_EVERY_S, how_far


class ProgressBar(Progress):
    """with ProgressBar() as progress: progress.update(progress.add_task("judging", total=9, note=""), advance=1)"""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=console or Console(stderr=True),
        )
        self._said = time.monotonic()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        if self.console.is_terminal or time.monotonic() - self._said < LINE_EVERY_S:
            return
        self._said = time.monotonic()
        task = self._tasks[task_id]
        line = how_far(int(task.completed), task.total, note=task.fields["note"], left_s=task.time_remaining)
        self.console.print(f"{task.description}: {line}", highlight=False, markup=False)
