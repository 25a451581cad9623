"""The order of a recipe's phases, what they leave behind, and that it goes on where it stopped.

Training itself is tested in tests/urt_train; here each stage writes what a stage writes, and its judge is an oracle
that errs less after every stage.
"""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from urt_core import Completion, JudgeSpec, Task, verdict_text
from urt_core.errors import ConfigError
from urt_data import ShardWriter
from urt_data.sprites import OracleTeacher, build_split
from urt_train.cli import compose
from urt_train.experiment import assessment, pipeline
from urt_train.experiment.steps import model_folder, steps

RIGHT = {"base": 0.0, "cold_start": 0.5, "rejection_sampling": 0.75, "grpo": 1.0}


class ErringOracle:
    """Right on a share of the pairs, the same ones each time; the base writes nothing that can be read."""

    def __init__(self, stage: str, records) -> None:
        self.model = stage
        self.oracle = OracleTeacher(records)
        self.records = {record.key: record for record in records}

    def generate(self, prompts, sampling):
        once = replace(sampling, num_completions=1)
        return [[self.judge(prompt, once)] * sampling.num_completions for prompt in prompts]

    def judge(self, prompt, sampling) -> Completion:
        if prompt.key not in self.records:  # what a suite made of a pair
            return Completion(text="I can't tell")
        [[told]] = self.oracle.generate([prompt], sampling)
        if self.model == "base":
            return Completion(text="one red star, two green fish")
        if random.Random(prompt.key).random() < RIGHT[self.model]:
            return told
        record = self.records[prompt.key]
        right, wrong = (
            verdict_text(record.task, label, dialect=prompt.dialect)
            for label in (record.preference, record.preference.swap())
        )
        return Completion(text=told.text.replace(right, wrong))


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The names of the steps that were run, in their order."""
    started: list[str] = []
    records = list(build_split("test", dict.fromkeys(Task, 4), seed=0))

    def run_step(step, config):
        was_done = step.is_done
        started.append(step.name + (" again" if was_done else ""))
        if was_done:
            return
        if step.name == "prepare_data":
            for split in config.data.counts:
                with ShardWriter(config.data_dir(split), metadata={"source": "sprites", "seed": config.seed}) as shards:
                    for record in records:
                        shards.write(record)
        elif step.name == "distill":
            with ShardWriter(config.data_dir("cold_start")) as shards:
                shards.write(records[0])
        else:
            finish_stage(config, step.name)
            for path in step.writes:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(exist_ok=True)

    def open_engine(config, checkpoint, spec):
        return ErringOracle(assessment.name_of(config, checkpoint), records)

    monkeypatch.setattr(pipeline, "run_step", run_step)
    monkeypatch.setattr(assessment, "open_engine", open_engine)
    return started


def finish_stage(config, stage: str) -> None:
    folder = model_folder(config, stage)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(stage.encode())
    spec = JudgeSpec(
        dialect="v1",  # type: ignore[arg-type]
        dimensions={str(task): task.dimensions for task in Task},
        min_pixels=64,
        max_pixels=4096,
        num_frames=4,
        stage=stage,
        base="tiny",
    )
    spec.save(folder)
    rows = "\n".join(f"{step},{1 / (step + 1)}" for step in range(5))
    (config.stage_dir(stage) / "metrics.csv").write_text(f"step,loss\n{rows}\n")


def tiny(output_root: Path, *overrides: str):
    """The recipe with four pairs of each task in every split."""
    config = compose([f"output_root={output_root}", *overrides])
    config.data.counts = {split: {task.value: 4 for task in Task} for split in config.data.counts}
    return config


def test_from_nothing_to_the_report_and_again(tmp_path, started, capsys):
    config = tiny(tmp_path, "evaluation.splits=[test]")
    pipeline.run_pipeline(config)
    assert started == ["prepare_data", "distill", "cold_start", "rejection_sampling", "grpo"]
    output = tmp_path / "tiny"
    costs = json.loads((output / "costs.json").read_text())
    assert [cost["name"] for cost in costs] == [
        *("prepare_data", "distill", "evaluate_base"),
        *("cold_start", "evaluate_cold_start"),
        *("rejection_sampling", "evaluate_rejection_sampling"),
        *("grpo", "evaluate_grpo", "suites_grpo"),
    ]
    results = (output / "results.md").read_text()
    [overall, *_] = [line for line in results.splitlines() if line.startswith("| All tasks | ")]
    assert overall.startswith("| All tasks | 0.0 % (")
    assert "| 100.0 % (" in overall
    assert "| Everything |" in results
    shown = capsys.readouterr().out
    assert "Stage 3: GRPO" in shown
    assert "report.html" in shown
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "Right on 100.0 % of 16 held-out pairs" in page
    assert page.count('class="card ') == 16

    started.clear()
    pipeline.run_pipeline(config)
    assert started == ["distill again", "cold_start again", "rejection_sampling again", "grpo again"]
    assert json.loads((output / "costs.json").read_text()) == costs


def test_after_a_breakdown_it_goes_on_with_what_is_missing(tmp_path, started, monkeypatch):
    config = tiny(tmp_path, "evaluation.splits=[test]", "evaluation.dialects=[judge]", "evaluation.suites=0")
    working = pipeline.run_step

    def breaks_in_grpo(step, config):
        if step.name == "grpo":
            raise KeyboardInterrupt
        working(step, config)

    monkeypatch.setattr(pipeline, "run_step", breaks_in_grpo)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run_pipeline(config)
    assert not (tmp_path / "tiny" / "report.html").exists()

    monkeypatch.setattr(pipeline, "run_step", working)
    started.clear()
    pipeline.run_pipeline(config)
    assert started == ["distill again", "cold_start again", "rejection_sampling again", "grpo"]
    assert (tmp_path / "tiny" / "report.html").exists()


@pytest.mark.parametrize("changed", ["seed", "counts"])
def test_pairs_of_other_settings_are_not_taken_for_these(tmp_path, started, changed):
    config = tiny(tmp_path)
    pipeline.run_step(steps(config)[0], config)
    other = tiny(tmp_path, "seed=5" if changed == "seed" else "seed=0")
    message = r"with seed 0, data\.counts\.train is .* with seed 5"
    if changed == "counts":
        other.data.counts["test"]["video_generation"] = 3
        message = r"data\.counts\.test is .*'video_generation': 3"
    with pytest.raises(ConfigError, match=message):
        pipeline.run_pipeline(other)


def test_a_pipeline_has_a_stage(tmp_path):
    with pytest.raises(ConfigError, match=r"stages is \[\]; allowed: one stage or more"):
        pipeline.run_pipeline(compose([f"output_root={tmp_path}", "stages=[]"]))


def test_what_a_later_stage_refuses_is_said_before_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "do_step", lambda config, step, *rest: pytest.fail(f"ran {step.name}"))
    config = compose([f"output_root={tmp_path}", "grpo.surrogate=math:pi"])
    with pytest.raises(ConfigError, match=r"grpo\.surrogate 'math:pi' is a float; expected: def surrogate"):
        pipeline.run_pipeline(config)
