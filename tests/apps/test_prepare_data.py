"""python apps/prepare_data.py: the embedded world through a recipe, published sets and own tables through one line."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.urt_data.conftest import png
from urt_data import ShardFolder
from urt_data.upkeep.verify import verify
from urt_train.cli import compose

REPOSITORY = Path(__file__).parents[2]
APPS = REPOSITORY / "apps"


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(str(APPS))
    return import_module("prepare_data")


def test_every_split_of_the_recipe_is_made(tmp_path, program, capsys):
    config = compose(["recipe=tiny", f"output_root={tmp_path}"])
    config.data.counts = {"train": {"image_generation": 6, "video_understanding": 2}, "test": {"video_generation": 3}}
    program.main(config)
    train, test = (ShardFolder(config.data_dir(split)) for split in ("train", "test"))
    assert train.manifest["tasks"] == {"image_generation": 6, "video_understanding": 2}
    assert test.manifest["tasks"] == {"video_generation": 3}
    assert train.metadata["split"] == "train"
    assert verify(test.folder).is_sound
    assert "8 train pairs" in capsys.readouterr().out
    first = train.manifest_sha256
    program.main(config)
    assert ShardFolder(config.data_dir("train")).manifest_sha256 == first


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, APPS / "prepare_data.py", *arguments]
    path = ":".join(str(package / "src") for package in (REPOSITORY / "packages").iterdir())
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env={"PYTHONPATH": path, "PATH": ""}, check=False
    )


def test_a_table_is_converted_by_one_line(tmp_path):
    rows = []
    for number in range(3):
        for side in "ab":
            (tmp_path / f"{number}{side}.png").write_bytes(png(number, side))
        rows.append({"text": "a scene", "first": f"{number}a.png", "second": f"{number}b.png", "preference": "first"})
    table = tmp_path / "pairs.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("data=generic", f"input={table}", f"output={tmp_path / 'shards'}")
    assert done.stdout == "3 pairs (3 first); 0 rows rejected, see rejected.jsonl beside the shards\n", done.stderr
    assert len(ShardFolder(tmp_path / "shards")) == 3


def test_a_published_set_is_told_from_the_embedded_world(program):
    assert program.is_conversion(["data=hpdv3"])
    assert not program.is_conversion(["data=sprites", "recipe=tiny"])
