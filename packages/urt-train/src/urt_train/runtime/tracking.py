"""Weights & Biases beside training: a run of its own for each stage, and tables of what the judge wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from urt_core import Media, PreferenceRecord
from urt_core.comparison import Order
from urt_core.judging.pairs import JudgedPair
from urt_core.media import MediaPolicy, load_frames

COLUMNS = ("key", "task", "text", "shown", "first", "second", "label", "verdict", "right", "judgement")
NUM_SAMPLES = 16
"""Rows of a table: a page of the tracker's."""
THUMBNAILS = MediaPolicy(min_pixels=1, max_pixels=256 * 256, num_frames=4)


@contextmanager
def tracked(loggers: Sequence[Any]) -> Iterator[None]:
    """A tracker's run ends with its stage. Lightning leaves it open, and the next stage of the process would go on in
    it."""
    exit_code = 1
    try:
        yield
        exit_code = 0
    finally:
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish(exit_code=exit_code)


def log_samples(
    loggers: Sequence[Any], *, records: Mapping[str, PreferenceRecord], judged: Sequence[JudgedPair], step: int
) -> None:
    """Up to NUM_SAMPLES of the pairs judged in the given order, evenly among them; `records` by key. Other loggers keep
    no tables."""
    trackers = [logger for logger in loggers if isinstance(logger, WandbLogger)]
    given = [pair for pair in judged if pair.order is Order.GIVEN]
    number = min(NUM_SAMPLES, len(given))
    if not trackers or not number:
        return
    wandb = import_module("wandb")
    rows = []
    for place in range(number):
        pair = given[place * len(given) // number]
        record = records[pair.key]
        seen = [_seen(what, wandb.Image) for what in (record.media, record.first, record.second)]
        verdict = str(pair.verdict or f"unreadable: {pair.failure}")
        rows.append(
            [pair.key, str(pair.task), record.text, *seen, str(pair.label or ""), verdict, pair.correct, pair.text]
        )
    # A column has pictures in the rows of one task and texts in those of another.
    table = wandb.Table(columns=list(COLUMNS), data=rows, allow_mixed_types=True)
    for tracker in trackers:
        tracker.log_metrics({"validation/samples": table}, step=step)


def _seen(what: Media | str | None, picture: Any) -> Any:
    """An image, the frames of a video side by side, or an answer's text."""
    if not isinstance(what, Media):
        return what
    frames = load_frames(what, THUMBNAILS)
    strip = Image.new("RGB", (sum(frame.width for frame in frames), max(frame.height for frame in frames)))
    left = 0
    for frame in frames:
        strip.paste(frame, (left, 0))
        left += frame.width
    return picture(strip)
