"""UnifiedReward's prompts and mixture files."""

import json
from pathlib import Path

import pytest

from urt_core.errors import ConfigError
from urt_core.records import Preference, PreferenceRecord
from urt_data import sources
from urt_data.sources.published.official_mixture import sampled


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
