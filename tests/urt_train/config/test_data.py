"""The `data:` section: what may stand for a split, and what is said where it may not."""

from typing import Any

import pytest

from urt_core.errors import ConfigError
from urt_train.config.data import SPLITS, CacheConfig, DataConfig, DataPart, QuarantineConfig


def test_a_split_is_a_folder_an_address_or_parts():
    data = DataConfig(train="pairs/mine", pool=[{"path": "s3://bucket/a", "weight": 2}, {"path": "b", "weight": 1.5}])
    assert data.parts("train") == (DataPart(path="pairs/mine"),)
    assert [(part.path, part.weight, part.is_remote) for part in data.parts("pool")] == [
        ("s3://bucket/a", 2, True), ("b", 1.5, False),
    ]  # fmt: skip
    assert data.parts("test") == ()
    assert data.folder("train") == "pairs/mine"
    assert data.folder("test") is None


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([], r"data\.train has parts with the weights \[\]; allowed: one or more parts"),
        (
            [{"path": "a", "weight": 1}, "b"],
            r"weights \[1, None\]; allowed: .*a weight above 0 for each of them or for",
        ),
        (
            7,
            r"data\.train has the part 7; allowed: a folder, an address, or \{path, weight, repeat, take, balance_tasks",
        ),
        ("", r"data\.train has the part ''"),
        ([{"weight": 1}], r"data\.train has the part \{'weight': 1\}; allowed: .* with a path"),
        ([{"path": "a", "wieght": 1}], r"data\.train has a part with wieght; allowed: path, weight"),
        ([{"path": "a", "weight": 0}], r"the part a with weight 0; allowed: a number above 0"),
        ([{"path": "a", "weight": True}], r"the part a with weight True; allowed: a number above 0"),
        ([{"path": "a", "repeat": -1}], r"the part a with repeat -1; allowed: a number above 0"),
    ],
)
def test_what_is_no_split_is_said_with_what_is(said, message):
    with pytest.raises(ConfigError, match=message):
        DataConfig(train=said)


def test_a_mixture_has_no_one_folder():
    with pytest.raises(ConfigError, match=r"data\.train is a mixture of 2 parts, .* write the mixture as shards first"):
        DataConfig(train=["a", "b"]).folder("train")


def test_further_splits_are_named_with_their_setting():
    data = DataConfig(others={"genai_bench": "shards/genai"})
    assert (data.setting("genai_bench"), data.folder("genai_bench")) == ("data.others.genai_bench", "shards/genai")
    assert [data.setting(split) for split in SPLITS] == [f"data.{split}" for split in SPLITS]
    with pytest.raises(ConfigError, match=r"data\.others\.bad has the part ''"):
        DataConfig(others={"bad": ""})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": -1}, r"data\.workers is -1; allowed: 0 or more"),
        ({"prefetch": 0}, r"data\.prefetch is 0; allowed: 1 or more"),
        ({"counts": {"train": {"cooking": 1}}}, r"data\.counts\.train names the task 'cooking'"),
        (
            {"counts": {"train": {"image_generation": -1}}},
            r"data\.counts\.train\.image_generation is -1; allowed: 0 or",
        ),
    ],
)
def test_numbers_are_checked(settings, message):
    with pytest.raises(ConfigError, match=message):
        DataConfig(**settings)


def test_cache_and_quarantine_are_checked():
    with pytest.raises(ConfigError, match=r"data\.cache\.gib is 0; allowed: a number above 0"):
        CacheConfig(gib=0)
    wrongs: list[dict[str, Any]] = [{"share": 1.5}, {"in_a_row": -1}, {"grace": 0}]
    for wrong in wrongs:
        with pytest.raises(ConfigError, match=rf"data\.quarantine\.{next(iter(wrong))} is "):
            QuarantineConfig(**wrong)
