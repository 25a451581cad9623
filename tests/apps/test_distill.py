"""python apps/distill.py: traces of the oracle, a remote teacher that lacks its key, choices on the command line."""

import json
from pathlib import Path

import pytest

from urt_core import Judgement, Preference, Task, parse_judgement
from urt_core.errors import ConfigError
from urt_data import ShardFolder, ShardWriter
from urt_data.sprites import Split, pairs
from urt_train.cli import compose
from urt_train.datasets.pool_pairs import traces_of

APPS = Path(__file__).parents[2] / "apps"


@pytest.fixture
def main(monkeypatch):
    monkeypatch.syspath_prepend(str(APPS))
    from importlib import import_module

    return import_module("distill").main


@pytest.fixture
def overrides(tmp_path) -> list[str]:
    folder = tmp_path / "tiny" / "data" / "train"
    with ShardWriter(folder, metadata={"source": "sprites", "licence": "Apache-2.0"}) as shards:
        for task in Task:
            for record in pairs(task, 6, split=Split.TRAIN, seed=0):
                shards.write(record)
    return [f"output_root={tmp_path}", "recipe=tiny"]


def test_the_oracle_is_always_right_and_every_task_is_counted(tmp_path, overrides, main):
    tasks = "distill.tasks=[image_generation,video_understanding]"
    main(compose([*overrides, tasks, "distill.pairs_per_task=4"]))
    traces = ShardFolder(tmp_path / "tiny" / "data" / "cold_start")
    kept = {"asked": 4, "kept": 4, "dropped": {}}
    assert traces.metadata["distillation"]["counts"] == {"image_generation": kept, "video_understanding": kept}
    assert traces.metadata["licence"] == "Apache-2.0"
    assert traces.metadata["made_from"] == [ShardFolder(tmp_path / "tiny" / "data" / "train").manifest_sha256]
    *written, direct = traces
    assert direct.completion == f"Answer {1 if direct.preference is Preference.FIRST else 2} is better."
    bare = [record for record in written if record.metadata.get("dialect") == "direct"]
    assert len(bare) == 1, "the recipe shows a bare verdict beside every fourth trace"
    for record in (record for record in written if record not in bare):
        judgement = parse_judgement(record.completion or "", task=record.task)
        assert isinstance(judgement, Judgement)
        assert judgement.verdict is record.preference
        assert judgement.sums_consistent
        assert judgement.answer_matches_totals


def test_further_splits_are_judged_behind_the_first(tmp_path, overrides, main):
    """recipe=tiny_direct: the bare verdict of every pair that the stages see, each once."""
    with ShardWriter(tmp_path / "tiny" / "data" / "pool", metadata={"source": "sprites"}) as shards:
        for record in pairs(Task.IMAGE_GENERATION, 3, split=Split.POOL, seed=0):
            shards.write(record)
    main(compose([*overrides, "judge.dialect=direct", "distill.further=[pool]", "distill.direct_share=0"]))
    traces = ShardFolder(tmp_path / "tiny" / "data" / "cold_start")
    assert [record.key.split("-")[1] for record in traces] == ["train"] * 24 + ["pool"] * 3
    assert {record.completion for record in traces} == {
        f"{noun} {number} is better." for noun in ("Image", "Video", "Answer") for number in (1, 2)
    }
    hashes = [ShardFolder(tmp_path / "tiny" / "data" / split).manifest_sha256 for split in ("train", "pool")]
    assert traces.metadata["made_from"] == hashes
    for split in ("train", "pool"):
        source = ShardFolder(tmp_path / "tiny" / "data" / split)
        assert traces_of(source, Path(traces.folder)) is not None, "their pairs are known to have been shown"


def test_twice_is_the_same_to_the_byte(tmp_path, overrides, main):
    config = compose(overrides)
    main(config)
    manifest = tmp_path / "tiny" / "data" / "cold_start" / "manifest.json"
    before = manifest.read_bytes()
    main(config)
    assert manifest.read_bytes() == before
    assert json.loads(before)["num_samples"] == 24 + 6, "traces, and bare verdicts beside a quarter of them"


def test_a_remote_teacher_without_a_key_is_one_clear_line(overrides, main, monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    config = compose([*overrides, "teacher=openai", "distill.api_key_env=MY_KEY"])
    with pytest.raises(ConfigError, match="environment variable MY_KEY is not set") as error:
        main(config)
    assert "\n" not in str(error.value)


def test_without_pairs_it_says_which_command_makes_them(tmp_path, main):
    from urt_train.errors import MissingStageError

    config = compose([f"output_root={tmp_path}", "run_missing=false"])
    with pytest.raises(MissingStageError, match=r"urt-train prepare_data"):
        main(config)


def test_several_processes_are_refused(main, monkeypatch, capsys):
    """They would all ask the same questions and write the same files."""
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setattr("sys.argv", ["apps/distill.py"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: distill.py was started as 8 processes, which would all do the same work; allowed: 1")
    assert said.count("\n") == 1
