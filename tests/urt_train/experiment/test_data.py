"""The pairs that a recipe makes itself, and its teacher's traces about them: their numbers, and whose they are."""

import io
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console

from urt_core import parse_judgement
from urt_core.errors import ConfigError
from urt_data import ShardFolder, ShardWriter
from urt_train.config import DataConfig, DistillConfig
from urt_train.datasets.pool_pairs import MADE_FROM
from urt_train.experiment.data import make_pairs, make_traces
from urt_train.stages import train_config

COUNTS = {"train": {"image_generation": 3, "image_understanding": 2}, "test": {"image_generation": 1}}
QUIET = Console(file=io.StringIO())


@pytest.fixture
def config(tmp_path):
    distill = DistillConfig(tasks=["image_generation", "image_understanding"])
    return train_config()(
        recipe="r", output_root=str(tmp_path), data=DataConfig(source="sprites", counts=COUNTS), distill=distill
    )


def test_pairs_are_made_in_their_numbers_from_the_seed(config, tmp_path, capsys):
    make_pairs(config)
    made = {split: ShardFolder(config.data_dir(split)) for split in COUNTS}
    assert {split: Counter(str(record.task) for record in shards) for split, shards in made.items()} == COUNTS
    assert (made["train"].metadata["seed"], made["train"].metadata["split"]) == (0, "train")
    assert "5 train pairs in" in capsys.readouterr().out
    make_pairs(config)  # what it made itself, it makes again
    assert ShardFolder(config.data_dir("train")).manifest_sha256 == made["train"].manifest_sha256
    make_pairs(replace(config, seed=1))
    assert ShardFolder(config.data_dir("train")).manifest_sha256 != made["train"].manifest_sha256


def test_pairs_of_a_users_own_are_refused(config, records):
    with ShardWriter(config.data_dir("train")) as shards:
        shards.write(records[0])
    with pytest.raises(ConfigError, match=r"data\.train is .*whose pairs this step did not write"):
        make_pairs(config)


def test_traces_are_right_judgements_of_the_pairs_and_say_of_which(config):
    make_pairs(config)
    make_traces(config, console=QUIET)
    pairs, traces = (ShardFolder(config.data_dir(split)) for split in ("train", "cold_start"))
    assert traces.metadata[MADE_FROM] == [pairs.manifest_sha256]
    labels = {record.key: record.preference for record in pairs}
    judged = [(record, parse_judgement(record.completion or "", task=record.task)) for record in traces]
    assert {record.key for record, _ in judged} == set(labels)
    for record, judgement in judged:
        assert judgement.verdict == labels[record.key]  # pyright: ignore[reportAttributeAccessIssue]
