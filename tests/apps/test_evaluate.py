"""python apps/evaluate.py: what it writes and prints, and its errors for wrong checkpoints and missing data."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from urt_core import Dialect, JudgeSpec, Task
from urt_core.bench.evaluation import EvaluationResult
from urt_core.errors import CheckpointError, DataError
from urt_data import ShardWriter
from urt_data.sprites import OracleTeacher, Split, pairs
from urt_train.cli import compose
from urt_train.experiment import assessment

APPS = Path(__file__).parents[2] / "apps"


@pytest.fixture
def main(monkeypatch):
    monkeypatch.syspath_prepend(str(APPS))
    return import_module("evaluate").main


def records():
    return [record for task in Task for record in pairs(task, 4, split=Split.TEST, seed=0)]


@pytest.fixture
def overrides(tmp_path) -> list[str]:
    with ShardWriter(tmp_path / "held_out") as shards:
        for record in records():
            shards.write(record)
    return [f"output_root={tmp_path}", f"data.test={tmp_path / 'held_out'}", "evaluation.orders=given"]


def judge_folder(folder: Path, *, dialect: Dialect = Dialect.V1) -> str:
    """A folder that says how its judge is asked; its weights are never opened here."""
    folder.mkdir(parents=True)
    spec = JudgeSpec(
        dialect=dialect,
        dimensions={str(task): task.dimensions for task in Task},
        min_pixels=64,
        max_pixels=4096,
        num_frames=4,
        stage="grpo",
        base="tiny",
    )
    spec.save(folder)
    return str(folder)


@pytest.fixture
def _oracle_for_weights(monkeypatch):
    monkeypatch.setattr(assessment, "open_engine", lambda config, checkpoint, spec: OracleTeacher(records()))


@pytest.mark.usefixtures("_oracle_for_weights")
def test_it_writes_result_judgements_and_tables_and_prints_them(tmp_path, overrides, main, capsys):
    checkpoint = judge_folder(tmp_path / "tiny" / "grpo" / "model")
    main(compose([*overrides, f"checkpoint={checkpoint}"]))
    folder = tmp_path / "tiny" / "evaluation" / "grpo" / "test"
    result = EvaluationResult.load(folder)
    assert [row.accuracy.value for row in result.rows] == [1.0] * 10
    assert result.dialects == (Dialect.V1, Dialect.DIRECT)
    assert len((folder / "judgements.jsonl").read_text().splitlines()) == 32
    assert "| All tasks | 16 | 100.0 % (80.6–100.0) | – |" in (folder / "tables.md").read_text()
    shown = capsys.readouterr().out
    assert "With reasoning (dialect v1)" in shown
    assert "All tasks" in shown


@pytest.mark.usefixtures("_oracle_for_weights")
def test_the_report_of_the_recipe_is_brought_up_to_date(tmp_path, overrides, main, capsys):
    own = tmp_path / "tiny"
    main(compose([*overrides, f"checkpoint={judge_folder(tmp_path / 'elsewhere')}"]))
    assert not (own / "report.html").exists(), "another model's evaluation says nothing about the stages"
    for stage, columns in (("cold_start", "Cold start"), ("grpo", "Cold start | GRPO")):
        main(compose([*overrides, f"checkpoint={judge_folder(own / stage / 'model')}"]))
        results = (own / "results.md").read_text()
        assert f"| after stage | {columns} |" in results
        assert results.count("| All tasks | 100.0 % (80.6–100.0) |") == 2
    assert "Right on 100.0 % of 16 held-out pairs" in (own / "report.html").read_text()
    assert f"the stages side by side: {own / 'report.html'}" in capsys.readouterr().out

    with ShardWriter(tmp_path / "other_pairs") as shards:
        shards.write(records()[0])
    newer = (*overrides, f"data.test={tmp_path / 'other_pairs'}", f"checkpoint={own / 'grpo' / 'model'}")
    main(compose(list(newer)))
    shown = capsys.readouterr().out
    assert "no report: the stages in" in shown
    assert EvaluationResult.load(own / "evaluation" / "grpo" / "test").rows[-1].n_total == 1


@pytest.mark.usefixtures("_oracle_for_weights")
def test_without_a_checkpoint_it_takes_the_newest_stage(tmp_path, overrides, main):
    judge_folder(tmp_path / "tiny" / "cold_start" / "model")
    judge_folder(tmp_path / "tiny" / "rejection_sampling" / "model")
    main(compose(overrides))
    assert (tmp_path / "tiny" / "evaluation" / "rejection_sampling" / "test" / "result.json").exists()


@pytest.mark.usefixtures("_oracle_for_weights")
def test_tasks_and_counts_choose(tmp_path, overrides, main):
    checkpoint = judge_folder(tmp_path / "tiny" / "grpo" / "model")
    chosen = ["evaluation.tasks=[video_generation]", "evaluation.pairs_per_task=3", "evaluation.dialects=[judge]"]
    main(compose([*overrides, *chosen, f"checkpoint={checkpoint}"]))
    result = EvaluationResult.load(tmp_path / "tiny" / "evaluation" / "grpo" / "test")
    assert [(row.task, row.n_total) for row in result.rows] == [(Task.VIDEO_GENERATION, 3), (None, 3)]


def test_a_checkpoint_of_another_dialect_is_refused(tmp_path, overrides, main):
    checkpoint = judge_folder(tmp_path / "v2", dialect=Dialect.V2)
    with pytest.raises(CheckpointError, match=r"is a judge of dialect v2, judge\.dialect is v1; set judge\.dialect=v2"):
        main(compose([*overrides, f"checkpoint={checkpoint}"]))


def test_a_judge_is_not_asked_in_a_dialect_it_never_learnt(tmp_path, overrides, main):
    checkpoint = judge_folder(tmp_path / "v1")
    with pytest.raises(CheckpointError, match=r"evaluation\.dialects asks it in v2; allowed: judge, v1, direct"):
        main(compose([*overrides, f"checkpoint={checkpoint}", "evaluation.dialects=[v2]"]))


def test_no_finished_stage_says_how_to_train_one(overrides, main):
    with pytest.raises(CheckpointError, match=r"give checkpoint=<model folder>, or train one: urt-train"):
        main(compose(overrides))


@pytest.mark.usefixtures("_oracle_for_weights")
@pytest.mark.parametrize(("place", "message"), [("nowhere", "no finished shards"), ("empty", "no record")])
def test_missing_or_empty_data_is_named(tmp_path, overrides, main, place, message):
    with ShardWriter(tmp_path / "empty"):
        pass
    checkpoint = judge_folder(tmp_path / "judge")
    with pytest.raises(DataError, match=f"{place} holds {message}"):
        main(compose([*overrides, f"checkpoint={checkpoint}", f"data.test={tmp_path / place}"]))


@pytest.mark.usefixtures("_oracle_for_weights")
def test_own_pairs_are_asked_for_by_the_name_of_their_split(tmp_path, main):
    checkpoint = judge_folder(tmp_path / "judge", dialect=Dialect.V2)
    own = ["recipe=qwen3_vl_8b", f"output_root={tmp_path}", f"checkpoint={checkpoint}"]
    with pytest.raises(DataError, match=r"to evaluate on; give data\.test=<folder of shards>$"):
        main(compose(own))
    with pytest.raises(DataError, match=r"to evaluate on; give data\.others\.bench=<folder of shards>$"):
        main(compose([*own, "evaluation.splits=[bench]"]))
    made = r"make them with `urt-train prepare_data recipe=tiny data=sprites output_root=.* judge\.dialect=v2`, or give"
    with pytest.raises(DataError, match=made):
        main(compose([*own[1:], "judge.dialect=v2"]))


@pytest.mark.usefixtures("_oracle_for_weights")
def test_a_saved_assessment_counts_only_for_the_same_weights_pairs_and_settings(tmp_path, overrides):
    checkpoint = judge_folder(tmp_path / "judge")
    weights = tmp_path / "judge" / "model.safetensors"
    weights.write_bytes(b"one")
    config = compose([*overrides, "evaluation.dialects=[judge]"])
    assert assessment.saved_assessment(config, checkpoint) is None
    made = assessment.assess(config, checkpoint)
    assert assessment.saved_assessment(config, checkpoint) == made
    other = compose([*overrides, "evaluation.dialects=[judge]", "evaluation.max_completion_tokens=9"])
    assert assessment.saved_assessment(other, checkpoint) is None
    weights.write_bytes(b"two")
    assert assessment.saved_assessment(config, checkpoint) is None


def test_the_command_line_says_one_line_and_exits_with_a_code(tmp_path):
    command = [sys.executable, str(APPS / "evaluate.py"), f"output_root={tmp_path}", "evaluation.orders=sideways"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: evaluation.orders is 'sideways'; allowed:")
    assert ended.stderr.count("\n") == 1
