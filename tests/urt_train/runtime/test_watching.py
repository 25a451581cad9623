"""The judge measured while it trains: its rates by hand, the best kept, a run that goes on."""

import io
import json
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image

from urt_core import Dialect, Media, MediaKind, Preference, PreferenceRecord, SamplingParams, Task
from urt_core.comparison import Order
from urt_core.engines.scripted import ScriptedEngine
from urt_core.judging.judge import Asked
from urt_train.runtime.watching import JudgeWatch


def image(color: str) -> Media:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(content, format="PNG")
    return Media(kind=MediaKind.IMAGE, files=(f"{color}.png",), data=(content.getvalue(),))


def records(number: int = 4, *, ties: int = 0) -> list[PreferenceRecord]:
    return [
        PreferenceRecord(
            key=f"{place}", task=Task.IMAGE_GENERATION, text="a red car", first=image("red"), second=image("blue"),
            preference=Preference.TIE if place < ties else Preference.FIRST,
        )
        for place in range(number)
    ]  # fmt: skip


class Run:
    """A trainer and a module as the callback sees them; `says` answers by (key, order)."""

    def __init__(self, folder, says, *, pairs=None, every=2, best_by="accuracy") -> None:
        self.kept: list[int] = []
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.says = says
        logger = SimpleNamespace(log_metrics=lambda metrics, step: self.logged.append((step, metrics)))
        self.trainer: Any = create_autospec(
            Trainer, instance=True, global_step=0, is_global_zero=True, loggers=[logger]
        )
        policy = SimpleNamespace(
            with_whole_weights=lambda run: run(),
            engine=lambda batch_size: ScriptedEngine(script=self._answer),
        )
        self.module: Any = SimpleNamespace(policy=policy, device=torch.device("cpu"))
        self.watch = JudgeWatch(
            folder,
            records=pairs or records(),
            asked=Asked(dialect=Dialect.V1, orders="both", sampling=SamplingParams()),
            every=every,
            best_by=best_by,
            keep=lambda _: self.kept.append(self.trainer.global_step),
            batch_size=4,
        )
        (folder / "best").mkdir(exist_ok=True)

    def _answer(self, prompt, index):
        order = Order.GIVEN if _shows_red_first(prompt) else Order.SWAPPED
        winner = self.says(prompt.key, order)
        return "what?" if winner is None else f"<think>so</think><answer>Image {winner} is better</answer>"

    def steps(self, first: int, last: int) -> None:
        self.trainer.global_step = first - 1
        self.watch.on_train_start(self.trainer, self.module)
        for step in range(first, last + 1):
            self.trainer.global_step = step
            for batch in range(2):  # as many micro-batches as an optimizer step has
                self.watch.on_train_batch_end(self.trainer, self.module, None, None, batch)


def _shows_red_first(prompt) -> bool:
    with Image.open(io.BytesIO(prompt.media[0].data[0])) as picture:
        return picture.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def rows(folder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "validation.jsonl").read_text().splitlines()]


def steady(key: str, order: Order) -> int:
    """The red one wins wherever it stands."""
    return 1 if order is Order.GIVEN else 2


def test_rates_are_those_counted_by_hand(tmp_path):
    """Pair 0 is a tie and has no right verdict, pair 1 is right twice, pair 2 always the first shown, pair 3 unreadable
    once and wrong once."""

    def says(key, order):
        if key == "2":
            return 1
        if key == "3":
            return None if order is Order.GIVEN else 1
        return steady(key, order)

    run = Run(tmp_path, says, pairs=records(ties=1))
    run.steps(1, 3)
    (row,) = rows(tmp_path)
    assert row == pytest.approx(
        {"step": 2, "accuracy": 3 / 6, "position_consistency": 2 / 3, "readable": 7 / 8, "num_judgements": 8}
    )
    assert run.logged == [
        (2, {"validation/accuracy": 0.5, "validation/position_consistency": 2 / 3, "validation/readable": 7 / 8})
    ]


@pytest.mark.parametrize(("best_by", "kept"), [("accuracy", [2, 6]), ("readable", [2])])
def test_the_best_is_kept_and_an_equal_one_is_not(tmp_path, best_by, kept):
    right = {2: 1, 4: 0, 6: 3, 8: 3}
    run = Run(tmp_path, lambda key, order: steady(key, order) if int(key) < right[run.trainer.global_step] else
              3 - steady(key, order), best_by=best_by)  # fmt: skip
    run.steps(1, 8)
    assert [row["accuracy"] for row in rows(tmp_path)] == [0.25, 0.0, 0.75, 0.75]
    assert run.kept == kept
    best = json.loads((tmp_path / "best" / "best.json").read_text())
    assert (best["step"], best["metric"]) == (kept[-1], best_by)


def test_a_run_that_goes_on_forgets_what_came_after_its_checkpoint(tmp_path):
    Run(tmp_path, steady).steps(1, 6)
    assert [row["step"] for row in rows(tmp_path)] == [2, 4, 6]
    again = Run(tmp_path, steady)
    again.steps(5, 8)
    assert [row["step"] for row in rows(tmp_path)] == [2, 4, 6, 8]
    assert again.kept == [], "all were right before, and equal is no better"


def test_a_judge_that_says_nothing_has_rates_of_zero(tmp_path):
    run = Run(tmp_path, lambda key, order: None)
    run.steps(1, 2)
    assert rows(tmp_path) == [
        {"step": 2, "accuracy": 0.0, "position_consistency": 0.0, "readable": 0.0, "num_judgements": 8.0}
    ]
