"""UnifiedReward's prompts and mixture files."""

import json
from pathlib import Path

import pytest

from urt_core.errors import ConfigError
from urt_core.prompts import Dialect, render
from urt_core.records import Media, MediaKind, Preference, PreferenceRecord, Task
from urt_data import sources
from urt_data.sources.official_mixture import sampled
from urt_data.sources.payload import Payload, read_payload

IMAGE = Media(kind=MediaKind.IMAGE, files=("a.png",))
VIDEO = Media(kind=MediaKind.VIDEO, files=("a.mp4",))


@pytest.mark.parametrize(
    ("prompt", "payload"),
    [
        ("<image>\n<image>\n... provided as follows:\nText Caption: [a red car]", Payload(text="a red car")),
        ("...\nText Caption: [a sign that says [open]]", Payload(text="a sign that says [open]")),
        ("...\nText Caption: [two\nlines]\n", Payload(text="two\nlines")),
        (
            "1. The caption for the generated images is: 「a 「quoted」 cup」. You must evaluate",
            Payload(text="a 「quoted」 cup"),
        ),
        ("1. The caption for the generated videos is: 「a kite」. The provided frames", Payload(text="a kite")),
        ("...\nQuestion: [Why?]\nAnswer 1: [So.]\nAnswer 2: [No.]", Payload(text="Why?", first="So.", second="No.")),
        (
            "...\nQuestion: Why?\nAnswer 1: So.\nAnd so.\nAnswer 2: No.\n",
            Payload(text="Why?", first="So.\nAnd so.", second="No."),
        ),
        (
            "better\nQuestion: Why?\nAnswer 1: So.\nAnswer 2: No.\nPlease evaluate both answers based on the following criteria:\n1.",
            Payload(text="Why?", first="So.", second="No."),
        ),
        (
            "Question: [Why?]\nThe first response: [So.]\nThe second response: [No.]",
            Payload(text="Why?", first="So.", second="No."),
        ),
        (
            "the question is: 「Why?」. The image is provided. The two candidate answers are:\n        Answer 1: 「So.」\nAnswer 2: 「No.」\n\n2. You must",
            Payload(text="Why?", first="So.", second="No."),
        ),
        (
            "asked: 「Why?」. The provided answers are:\n        - Answer 1: So.\n        - Answer 2: No.\n\n        2. You must evaluate",
            Payload(text="Why?", first="So.", second="No."),
        ),
        ("Question: [Why?]\nResponse: [So.]", None),
        ("Tell me about this image.", None),
    ],
)
def test_payload_of_the_released_prompts(prompt: str, payload: Payload | None) -> None:
    assert read_payload(prompt) == payload


@pytest.mark.parametrize("dialect", list(Dialect))
def test_payload_of_our_own_prompts(dialect: Dialect) -> None:
    pair = PreferenceRecord(key="k", task=Task.IMAGE_GENERATION, text="a red car\nby night", first=IMAGE, second=IMAGE)
    assert read_payload(render(pair, dialect).text) == Payload(text="a red car\nby night")
    answers = PreferenceRecord(
        key="k", task=Task.VIDEO_UNDERSTANDING, text="Why?", first="So.\nYes.", second="No.", media=VIDEO
    )
    assert read_payload(render(answers, dialect).text) == Payload(text="Why?", first="So.\nYes.", second="No.")


@pytest.mark.parametrize(
    ("strategy", "kept"),
    [
        ("all", list(range(10))),
        ("first:3", [0, 1, 2]),
        ("first:25%", [0, 1, 2]),
        ("end:3", [7, 8, 9]),
        ("end:0", []),
        ("end:15%", [8, 9]),
        ("first:99", list(range(10))),
        ("end:99", list(range(10))),
        ("random:100%", list(range(10))),
    ],
)
def test_sampling_strategies(strategy: str, kept: list[int]) -> None:
    assert list(sampled(lambda: iter(range(10)), strategy=strategy, seed="x.json")) == kept


def test_random_sampling_draws_the_same_rows_again_and_others_for_another_file() -> None:
    def draw(seed: str) -> list[int]:
        return list(sampled(lambda: iter(range(1000)), strategy="random:20", seed=seed))

    assert draw("a.json") == draw("a.json") == sorted(draw("a.json"))
    assert len(draw("a.json")) == 20
    assert draw("a.json") != draw("b.json")


@pytest.mark.parametrize("strategy", ["last:3", "first:-1", "random:x", "first:3:4", ""])
def test_unknown_sampling_is_refused(strategy: str) -> None:
    with pytest.raises(ConfigError, match="allowed: all, first:N, end:N, random:N"):
        list(sampled(lambda: iter(()), strategy=strategy, seed="x"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("datasets: 3", "no list `datasets`"),
        ("datasets: [{json_path: ../x.json, image_folder: .}]", "leaves the input folder"),
        ("datasets: [{json_path: x.json, image_folder: .}]", "exists neither beside the file nor below its parent"),
        ("datasets: [{image_folder: .}]", "json_path None"),
        ("datasets: [", "no valid YAML"),
        ("datasets: !!python/object/apply:os.system ['true']", "no valid YAML"),
    ],
)
def test_broken_mixture_files_are_config_errors(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "mixture.yaml").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        list(sources.get("official_mixture").records(tmp_path))


def test_label_origin_of_a_collection_follows_its_folder(tmp_path: Path, fixture_named) -> None:
    fixture = fixture_named("official_grpo")
    human = tmp_path / "dataset" / "OIP"
    human.mkdir(parents=True)
    for file in ("grpo_train_data.json", "a.jpg", "b.jpg"):
        (human / file).write_bytes((fixture.folder / file).read_bytes())
    first = next(iter(sources.get("official_grpo").records(tmp_path / "dataset")))
    assert isinstance(first, PreferenceRecord)
    assert first.metadata["label_origin"] == "human"
    assert first.metadata["subset"] == "OIP"
    assert first.preference is Preference.SECOND


def test_grpo_rows_need_a_known_prompt(tmp_path: Path) -> None:
    (tmp_path / "grpo_train_data.json").write_text(
        json.dumps([{"problem": "Which?", "solution": "Image 1 is better", "images": []}])
    )
    (error,) = sources.get("official_grpo").records(tmp_path)
    assert isinstance(error, sources.RowError)
    assert error.field == "problem"
