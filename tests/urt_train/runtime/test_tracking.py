"""A stand-in for wandb sees what Weights & Biases would: config, one run id over a resume, tables with pictures."""

import io
import sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger
from PIL import Image

from urt_core import Dialect, Media, MediaKind, Preference, PreferenceRecord, SamplingParams, Task
from urt_core.engines.scripted import ScriptedEngine
from urt_core.judging.judge import Asked, judge
from urt_train.runtime.machine import make_loggers
from urt_train.runtime.tracking import COLUMNS, NUM_SAMPLES, log_samples, tracked


class Tracker:
    """wandb as far as Lightning calls it."""

    def __init__(self) -> None:
        self.run: Any = None
        self.opened: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {}
        self.logged: list[dict[str, Any]] = []
        self.ended: list[int] = []

    def init(self, **arguments):
        self.opened.append(arguments)
        config = SimpleNamespace(update=lambda values, allow_val_change: self.config.update(values))
        self.run = SimpleNamespace(config=config, log=self.logged.append, finish=self.finish)
        return self.run

    def finish(self, *, exit_code):
        self.ended.append(exit_code)
        self.run = None

    def Image(self, picture):
        return picture.size, picture.getpixel((0, 0))

    def Table(self, *, columns, data, allow_mixed_types):
        assert allow_mixed_types, "without, wandb refuses texts and pictures in one column"
        return {"columns": columns, "data": data}


@pytest.fixture
def tracker(monkeypatch) -> Tracker:
    stand_in = Tracker()
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", True)
    parts = {
        "wandb": stand_in,
        "wandb.sdk": ModuleType("wandb.sdk"),
        "wandb.sdk.lib": SimpleNamespace(RunDisabled=type("RunDisabled", (), {})),
        "wandb.wandb_run": SimpleNamespace(Run=type("Run", (), {})),
    }
    for name, part in parts.items():
        monkeypatch.setitem(sys.modules, name, part)
    return stand_in


def loggers_of(folder, run_id: str = "3f9c01ab") -> list[Any]:
    settings = {"_target_": "lightning.pytorch.loggers.WandbLogger", "project": "urt", "offline": True}
    return make_loggers({"wandb": settings}, folder=folder, name="tiny-grpo", run_id=run_id)


def image(color: str) -> Media:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(content, format="PNG")
    return Media(kind=MediaKind.IMAGE, files=(f"{color}.png",), data=(content.getvalue(),))


def video(*colors: str) -> Media:
    frames = [image(color) for color in colors]
    files = tuple(f"{place}.png" for place in range(len(colors)))
    return Media(kind=MediaKind.VIDEO, files=files, data=tuple(frame.data[0] for frame in frames if frame.data))


RECORDS = [
    PreferenceRecord(
        key="pictures", task=Task.IMAGE_GENERATION, text="a red car", first=image("red"), second=image("blue"),
        preference=Preference.FIRST,
    ),
    PreferenceRecord(
        key="videos", task=Task.VIDEO_GENERATION, text="a car", first=video("red", "green"), second=video("blue", "blue"),
        preference=Preference.SECOND,
    ),
    PreferenceRecord(
        key="answers", task=Task.IMAGE_UNDERSTANDING, text="How many?", first="Two.", second="Three.", media=image("green"),
        preference=Preference.FIRST,
    ),
]  # fmt: skip


def judged(records=RECORDS):
    def answer(prompt, index):
        noun = prompt.task.noun
        return "can't say" if prompt.key == "answers" else f"<think>so</think><answer>{noun} 1 is better</answer>"

    asked = Asked(dialect=Dialect.V1, orders="both", sampling=SamplingParams())
    return list(judge(records, engine=ScriptedEngine(script=answer), asked=asked))


def test_a_table_has_pictures_label_and_what_was_written(tracker, tmp_path):
    log_samples(loggers_of(tmp_path), records={r.key: r for r in RECORDS}, judged=judged(), step=20)
    (entry,) = tracker.logged
    table = entry["validation/samples"]
    assert entry["trainer/global_step"] == 20
    assert table["columns"] == list(COLUMNS)
    rows = {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in table["data"]}
    assert len(table["data"]) == len(rows) == 3, "the given order alone"
    assert rows["pictures"]["first"][1] == (255, 0, 0)
    assert rows["pictures"]["second"][1] == (0, 0, 255)
    assert (rows["pictures"]["label"], rows["pictures"]["verdict"], rows["pictures"]["right"]) == (
        "first",
        "first",
        True,
    )
    (width, height), _ = rows["videos"]["first"]
    assert width == 2 * height, "two frames side by side"
    assert rows["videos"]["right"] is False
    assert (rows["answers"]["first"], rows["answers"]["second"]) == ("Two.", "Three.")
    assert rows["answers"]["shown"][1] == (0, 128, 0)
    assert rows["answers"]["verdict"].startswith("unreadable: ")
    assert rows["answers"]["judgement"] == "can't say"


def test_a_table_is_short_and_taken_from_everywhere(tracker, tmp_path):
    many = [
        PreferenceRecord(
            key=f"{number}", task=Task.IMAGE_GENERATION, text="a car", first=RECORDS[0].first, second=RECORDS[0].second,
            preference=Preference.FIRST,
        )
        for number in range(4 * NUM_SAMPLES)
    ]  # fmt: skip
    log_samples(loggers_of(tmp_path), records={r.key: r for r in many}, judged=judged(many), step=1)
    keys = [row[0] for row in tracker.logged[0]["validation/samples"]["data"]]
    assert keys == [str(4 * place) for place in range(NUM_SAMPLES)]


def test_loggers_without_tables_are_left_alone(tracker, tmp_path):
    log_samples([CSVLogger(tmp_path)], records={r.key: r for r in RECORDS}, judged=judged(), step=1)
    log_samples(loggers_of(tmp_path), records={}, judged=[], step=1)
    assert tracker.logged == []


def test_a_resumed_run_goes_on_under_its_id_with_its_config(tracker, tmp_path):
    for learning_rate in (1e-6, 5e-7):
        (logger,) = loggers_of(tmp_path)
        with tracked([logger]):
            logger.log_hyperparams({"grpo": {"learning_rate": learning_rate}})
            logger.log_metrics({"loss": 1.0}, step=3)
        assert tracker.config == {"grpo": {"learning_rate": learning_rate}}
    assert [(run["id"], run["resume"], run["name"], run["project"]) for run in tracker.opened] == [
        ("3f9c01ab", "allow", "tiny-grpo", "urt")
    ] * 2
    assert all(run["dir"] == str(tmp_path) for run in tracker.opened)
    assert tracker.logged == [{"loss": 1.0, "trainer/global_step": 3}] * 2


def test_each_stage_of_a_process_has_a_run_of_its_own(tracker, tmp_path):
    for run_id in ("cold", "grpo"):
        loggers = [*loggers_of(tmp_path, run_id), CSVLogger(tmp_path)]
        with pytest.raises(OSError, match="disk") if run_id == "grpo" else nullcontext(), tracked(loggers):
            loggers[0].log_metrics({"loss": 1.0}, step=1)
            if run_id == "grpo":
                raise OSError("disk")
    assert [run["id"] for run in tracker.opened] == ["cold", "grpo"]
    assert tracker.ended == [0, 1], "a stage that failed says so"
