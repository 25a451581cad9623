"""Pairs, judgements as a judge writes them, and an evaluation of scripted answers."""

import io
from typing import Any

from rich.console import Console

from urt_core import Media, MediaKind, Preference, PreferenceRecord, Task
from urt_core.bench.evaluation import EvaluationResult, evaluate
from urt_core.engines.scripted import ScriptedEngine

QUIET = Console(file=io.StringIO())


def pair(number: int, label: Preference | None = Preference.FIRST, *, cause: str = "count", task=Task.IMAGE_GENERATION):
    if task is Task.IMAGE_UNDERSTANDING:
        picture = Media(kind=MediaKind.IMAGE, files=("media.png",), data=(b"",))
        shown: dict[str, Any] = {"first": "Two.", "second": "Three.", "media": picture}
    else:
        picture = Media(kind=MediaKind.IMAGE, files=("first.png",), data=(b"",))
        shown = {"first": picture, "second": Media(kind=MediaKind.IMAGE, files=("second.png",), data=(b"",))}
    return PreferenceRecord(
        key=f"pair-{number}", task=task, text=f"scene {number}", preference=label, metadata={"cause": cause}, **shown
    )


def judgement(winner: int, *, noun: str = "Image", scores=((9, 8, 7), (5, 8, 7)), totals=None) -> str:
    first, second = scores
    totals = totals or (sum(first), sum(second))
    lines = [
        f"{n}. {name}: {noun} 1 ({a}/10) - seen; {noun} 2 ({b}/10) - seen"
        for n, (name, a, b) in enumerate(zip(("One", "Two", "Three"), first, second, strict=True), start=1)
    ]
    sums = [f"{noun} {n}: {'+'.join(map(str, row))}={t}" for n, row, t in zip((1, 2), scores, totals, strict=True)]
    body = "\n".join([*lines, "Total score:", *sums])
    return f"<think>\n{body}\n</think>\n<answer>{noun} {winner} is better</answer>"


def run(script, records, **options) -> EvaluationResult:
    return evaluate(ScriptedEngine(script=script), records, console=QUIET, **options)
