"""Whole stages on a random model: each finds what the one before wrote, exports a judge that opens, and resumes bit for bit."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from urt_core import JudgeSpec
from urt_core.errors import CheckpointError, ConfigError, DataError
from urt_data import PreferenceStream, ShardWriter
from urt_train.config import (
    DataConfig,
    EvaluationConfig,
    JudgeConfig,
    LoraConfig,
    ModelConfig,
    TrainConfig,
    TrainerConfig,
)
from urt_train.errors import StoppedError
from urt_train.experiment import run
from urt_train.experiment.run import run_stage, training_data
from urt_train.runtime.callbacks import StepMetrics, read_rows
from urt_train.stages import find_stage, registry, train_config
from urt_train.stages.cold_start import SPEC as COLD_START
from urt_train.stages.cold_start.config import ColdStartConfig
from urt_train.stages.grpo import module as grpo
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.rejection_sampling.config import RejectionSamplingConfig


@pytest.fixture
def config(tmp_path, tiny_folder, records) -> TrainConfig:
    """Every stage finds its shards ready, so each can be run by itself."""
    shared = {
        "max_completion_tokens": 160,
        "micro_batch_size": 3,
        "batch_size": 6,
        "learning_rate": 1e-3,
        "save_every": 2,
    }
    splits = {}
    for split in ("train", "cold_start", "accepted", "hard"):
        splits[split] = str(tmp_path / "data" / split)
        with ShardWriter(splits[split]) as shards:
            for record in records:
                shards.write(record)
    return train_config()(
        recipe="test",
        output_root=str(tmp_path / "out"),
        judge=JudgeConfig(min_pixels=32 * 32, max_pixels=48 * 48, num_frames=2),
        model=ModelConfig(base=str(tiny_folder), train_vision=True, train_projector=True),
        data=DataConfig(**splits),
        trainer=TrainerConfig(accelerator="cpu", progress_bar=False),
        cold_start=ColdStartConfig(**shared, epochs=3.0),
        rejection_sampling=RejectionSamplingConfig(**shared, epochs=1.0),
        grpo=GRPOConfig(
            prompts_per_rollout=2,
            group_size=4,
            steps_per_rollout=2,
            micro_batch_size=2,
            max_completion_tokens=12,
            max_steps=8,
            learning_rate=1e-3,
            save_every=4,
            initial=str(tiny_folder),
        ),
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_weights(first: Path, second: Path) -> None:
    expected, found = weights(first), weights(second)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def elsewhere(config: TrainConfig, tmp_path: Path) -> TrainConfig:
    return replace(config, output_root=str(tmp_path / "again"))


def stop_after(monkeypatch, step: int, number: int = signal.SIGTERM) -> None:
    """Ask for a stop while the step after `step` is being computed."""
    show = StepMetrics._show

    def show_and_signal(self, trainer, metrics):
        show(self, trainer, metrics)
        if trainer.global_step == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(StepMetrics, "_show", show_and_signal)


def test_fine_tuning_stages_follow_each_other(config):
    cold = run_stage(replace(config, stage="cold_start"))
    accepted = run_stage(replace(config, stage="rejection_sampling"))
    spec = JudgeSpec.load(accepted)
    assert (spec.stage, spec.dialect, spec.num_frames) == ("rejection_sampling", "v1", 2)
    assert spec.max_completion_tokens == config.evaluation.max_completion_tokens, "served as it is measured"
    assert spec.about == "stage rejection_sampling of the recipe test"
    assert spec.point_contracts == (), "no stage teaches a judge to score single candidates"
    rows = read_rows(cold.parent / "metrics.csv")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.3, "the trace is learned"
    assert rows[-1]["right_tokens"] > rows[0]["right_tokens"]
    assert all(row["time/step"] > 0 and row["grad_norm"] > 0 for row in rows)
    different = sum(not torch.equal(tensor, weights(accepted)[name]) for name, tensor in weights(cold).items())
    assert different > 10, "it went on from the cold start and learned"


@pytest.mark.parametrize(("replay", "num_traces"), [(0.0, 0), (0.5, 4), (2.0, 16)])
def test_traces_of_the_cold_start_are_mixed_into_fine_tuning(config, records, replay, num_traces):
    """A share of the eight accepted judgements; the other stages know nothing of it."""
    for split, chosen in (("accepted", records[:8]), ("cold_start", records[8:])):
        with ShardWriter(config.data_dir(split), overwrite=True) as shards:
            for record in chosen:
                shards.write(record)
    config = replace(
        config, stage="rejection_sampling", rejection_sampling=replace(config.rejection_sampling, replay=replay)
    )
    data = training_data(config, find_stage("rejection_sampling"))
    epoch = [record.key for batch in PreferenceStream(data, batch_size=1, seed=0) for record in batch]
    assert sorted(key for key in epoch if key in {record.key for record in records[:8]}) == sorted(
        record.key for record in records[:8]
    )
    assert len(epoch) == 8 + num_traces
    with ShardWriter(config.data_dir("hard"), overwrite=True) as shards:
        shards.write(records[0])
    hard = training_data(config, find_stage("grpo"))
    assert len(hard) == 1


def earn_by_tokens(monkeypatch) -> None:
    """A random model earns nothing, and would learn nothing: give it something that depends on what it sampled."""
    score = grpo.score

    def scored(records, groups, *arguments, **settings):
        rewards = score(records, groups, *arguments, **settings)
        for prompt, group in enumerate(groups):
            for number, completion in enumerate(group):
                rewards.values[prompt, number, 0] = sum(completion.token_ids) % 7
        return rewards

    monkeypatch.setattr(grpo, "score", scored)


@pytest.mark.parametrize(("stage", "step"), [("cold_start", 3), ("grpo", 3)])
def test_stopped_and_resumed_is_straight(config, tmp_path, tiny_folder, monkeypatch, stage, step):
    """Stopped by SIGTERM in the middle, run again: the weights and the metrics of a straight run, bit for bit."""
    earn_by_tokens(monkeypatch)
    config = replace(config, stage=stage)
    straight = run_stage(config)
    before = weights(tiny_folder)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in weights(straight).items()), "it learned"
    other = elsewhere(config, tmp_path)
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        with pytest.raises(
            StoppedError, match=r"stopped after step \d of \d, saved in .*; the same command goes on"
        ) as stopped:
            run_stage(other)
    assert stopped.value.exit_code == 143
    saved = list((other.stage_dir() / "checkpoints").iterdir())
    # A rollout is two steps: asked to stop after the third, GRPO finishes the rollout first.
    assert [path.name for path in saved] == [f"step_{step + (stage == 'grpo'):08d}"]
    resumed = run_stage(other)
    assert_same_weights(straight, resumed)
    timeless = [
        [
            {name: value for name, value in row.items() if "time" not in name and "second" not in name}
            for row in read_rows(run / "metrics.csv")
        ]
        for run in (straight.parent, resumed.parent)
    ]
    assert timeless[0] == timeless[1]
    if stage == "grpo":
        lines = [(run / "rollouts.jsonl").read_text() for run in (straight.parent, resumed.parent)]
        assert lines[0] == lines[1]
        assert lines[0].count("\n") == 4 * 4, "the first group of each rollout"


@pytest.mark.parametrize("stage", ["cold_start", "grpo"])
def test_a_run_goes_on_with_smaller_micro_batches(config, tmp_path, monkeypatch, stage):
    """Out of memory, it need not start anew: the steps that are done are counted in the new micro-batches, and nothing else differs."""
    earn_by_tokens(monkeypatch)
    config.grpo = replace(config.grpo, steps_per_rollout=1, micro_batch_size=8, max_steps=4)
    config = replace(config, stage=stage)
    straight = run_stage(config)
    other = elsewhere(config, tmp_path)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StoppedError):
            run_stage(other)
    smaller = replace(other.stage_config, micro_batch_size=2)
    resumed = run_stage(replace(other, model=replace(other.model, gradient_checkpointing=True), **{stage: smaller}))
    expected, found = (read_rows(model.parent / "metrics.csv") for model in (straight, resumed))
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for name in ("loss", "grad_norm", "length/completion"):
        assert [row[name] for row in found] == pytest.approx([row[name] for row in expected], rel=1e-4, abs=1e-6)
    after = weights(resumed)
    assert all(torch.allclose(after[name], tensor, atol=2e-5) for name, tensor in weights(straight).items())


def test_a_damaged_checkpoint_stops_the_run_and_costs_no_line(config, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StoppedError):
            run_stage(replace(config, stage="cold_start"))
    folder = config.stage_dir("cold_start")
    tensors = folder / "checkpoints" / "step_00000002" / "rank_00000.safetensors"
    content, before = tensors.read_bytes(), (folder / "metrics.csv").read_bytes()
    for damaged in (content[:-100], content[:-100] + bytes(100)):
        tensors.write_bytes(damaged)
        with pytest.raises(
            CheckpointError, match=r"step_00000002 is damaged: rank_00000\.safetensors has .*ckpt_path=null"
        ):
            run_stage(replace(config, stage="cold_start"))
        assert (folder / "metrics.csv").read_bytes() == before
    tensors.write_bytes(content)
    run_stage(replace(config, stage="cold_start"))
    assert [row["step"] for row in read_rows(folder / "metrics.csv")] == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_is_made_longer_and_slower_if_that_is_said(config):
    config = replace(config, stage="cold_start")
    run_stage(config)
    folder = config.stage_dir()
    longer = replace(config, cold_start=replace(config.cold_start, epochs=4.0, learning_rate=1e-4))
    with pytest.raises(
        ConfigError,
        match=r"cold_start\.epochs was 3\.0, is 4\.0; cold_start\.learning_rate was 0\.001, is 0\.0001\): .*go_on_with="
        r"\[cold_start\.epochs,cold_start\.learning_rate\]",
    ):
        run_stage(longer)
    longer = replace(longer, go_on_with=["cold_start.epochs", "cold_start.learning_rate"])
    run_stage(longer)
    rows = read_rows(folder / "metrics.csv")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [row.get("segment", 1) for row in rows] == [1, 1, 1, 1, 1, 1, 2, 2]
    assert rows[0]["learning_rate"] > 1e-4 > rows[6]["learning_rate"] > 0
    assert json.loads((folder / "segments.jsonl").read_text()) == {
        "from_step": 7,
        "changes": {"cold_start.epochs": [3.0, 4.0], "cold_start.learning_rate": [1e-3, 1e-4]},
    }
    before = (folder / "model" / "model.safetensors").stat().st_mtime_ns
    run_stage(longer)  # finished, and left alone
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"trainer": {"precision": "bf16-mixed"}}, r"trainer\.precision was 32-true, is bf16-mixed"),
        ({"model": {"attention": "eager"}}, r"model\.attention was sdpa, is eager"),
    ],
)
def test_a_run_goes_on_in_the_numbers_it_began_with(config, changed, said):
    config = replace(config, stage="cold_start", cold_start=replace(config.cold_start, max_steps=2))
    run_stage(config)
    for section, values in changed.items():
        config = replace(config, **{section: replace(getattr(config, section), **values)})
    with pytest.raises(ConfigError, match=said):
        run_stage(config)


def test_a_run_in_which_nothing_learns_is_refused(config):
    nothing = replace(config.model, train_language=False, train_vision=False, train_projector=False)
    with pytest.raises(ConfigError, match=r"nothing learns: model\.train_language, .* set one of them"):
        run_stage(replace(config, stage="cold_start", model=nothing))


def test_a_stage_whose_build_gives_no_module_is_named(config, monkeypatch):
    monkeypatch.setitem(registry._stages, "cold_start", replace(COLD_START, build=lambda inputs: 3))
    with pytest.raises(ConfigError, match="build of stage 'cold_start' returned a int; expected: a StageModule"):
        run_stage(config)


def test_another_chat_template_is_another_run(config, tmp_path, tiny_folder):
    initial = tmp_path / "initial"
    shutil.copytree(tiny_folder, initial)
    config = replace(
        config, stage="cold_start", cold_start=replace(config.cold_start, max_steps=2, initial=str(initial))
    )
    run_stage(config)
    [template] = initial.glob("chat_template.jinja")
    template.write_text(template.read_text().replace("im_start|>assistant", "im_start|>judge"))
    with pytest.raises(
        ConfigError, match=r"initial/chat_template\.jinja was \w{12}\.\.\., is \w{12}\.\.\.\): keep them, choose"
    ):
        run_stage(config)


@pytest.mark.parametrize("name", ["model.safetensors", "chat_template.jinja", "new.json"])
def test_a_model_that_changes_while_it_is_opened_trains_nothing(config, tmp_path, tiny_folder, monkeypatch, name):
    """Between the hash of its files and the last of its weights."""
    initial = shutil.copytree(tiny_folder, tmp_path / "initial")
    config.cold_start.initial = str(initial)
    opened = run.open_policy

    def changes_behind(*arguments, **settings):
        policy = opened(*arguments, **settings)
        path = initial / name
        path.write_bytes(path.read_bytes() if path.exists() else b"{}")  # the same bytes, by another who writes
        os.utime(path, ns=(1, 1))  # however the clock stands
        return policy

    monkeypatch.setattr(run, "open_policy", changes_behind)
    with pytest.raises(CheckpointError, match=rf"initial changed while it was opened \({name}\); nothing was trained"):
        run_stage(config)
    assert not (config.stage_dir() / "metrics.csv").exists()
    monkeypatch.undo()
    if name == "new.json":
        (initial / name).unlink()
    run_stage(config)


def test_ctrl_c_saves_too(config, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    stop_after(monkeypatch, 2, signal.SIGINT)
    with pytest.raises(StoppedError) as stopped:
        run_stage(replace(config, stage="cold_start"))
    assert stopped.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before, "the handler of before is back"


def test_a_finished_stage_is_left_alone(config, capsys):
    config = replace(config, stage="cold_start")
    model = run_stage(config)
    before = (model / "model.safetensors").stat().st_mtime_ns
    assert run_stage(config) == model
    assert (model / "model.safetensors").stat().st_mtime_ns == before
    assert "ckpt_path=null trains it anew" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(ConfigError, match=r"cold_start\.learning_rate was 0\.001, is 0\.002"):
        run_stage(replace(config, cold_start=replace(config.cold_start, learning_rate=2e-3)))


def test_a_judge_of_another_dialect_is_refused(config):
    run_stage(replace(config, stage="cold_start"))
    other = replace(config, stage="rejection_sampling", judge=replace(config.judge, dialect="v2"))
    with pytest.raises(
        CheckpointError, match=r"is a judge of dialect v1, this run trains dialect v2; set judge\.dialect=v1"
    ):
        run_stage(other)


def test_weights_that_would_lose_their_updates_are_refused(config):
    for model in (
        ModelConfig(base=config.model.base),
        ModelConfig(base=config.model.base, lora=LoraConfig(rank=2), train_vision=True),
    ):
        model.dtype = "bfloat16"
        with pytest.raises(
            ConfigError, match=r"model\.dtype is bfloat16, in which trained weights would lose their updates; allowed"
        ):
            run_stage(replace(config, stage="cold_start", model=model))


def test_a_broken_checkpoint_is_refused(config, tmp_path):
    broken = tmp_path / "step_00000003"
    broken.mkdir()
    with pytest.raises(CheckpointError, match=r"is no complete checkpoint: it has no complete\.json; .*ckpt_path=null"):
        run_stage(replace(config, stage="cold_start", ckpt_path=str(broken)))


def watched(config: TrainConfig, tmp_path: Path, records, **settings) -> TrainConfig:
    with ShardWriter(tmp_path / "data" / "validation", overwrite=True) as shards:
        for record in records[:6]:
            shards.write(record)
    data = replace(config.data, validation=str(tmp_path / "data" / "validation"))
    evaluation = EvaluationConfig(every=2, watched_pairs=4, max_completion_tokens=12, **settings)
    return replace(config, data=data, evaluation=evaluation)


def test_the_judge_is_measured_while_it_trains_and_the_best_is_kept(config, tmp_path, records):
    """Measuring changes nothing of the training; a random judge is unreadable, so that the first measurement stays the best."""
    plain = run_stage(config)
    model = run_stage(elsewhere(watched(config, tmp_path, records), tmp_path))
    rows = [json.loads(line) for line in (model.parent / "validation.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert all(row["num_judgements"] == 8 and 0 <= row["accuracy"] <= row["readable"] <= 1 for row in rows)
    assert_same_weights(plain, model)
    best = json.loads((model.parent / "best" / "best.json").read_text())
    assert best == {"step": 2, "metric": "accuracy", "value": max(row["accuracy"] for row in rows)}
    assert JudgeSpec.load(model.parent / "best" / "model").stage == "cold_start"
    first, last = weights(model.parent / "best" / "model"), weights(model)
    assert any(not torch.equal(first[name], last[name]) for name in last), "it is the judge of step 2"


def test_a_run_to_be_measured_without_validation_pairs_says_so(config):
    with pytest.raises(DataError, match=r"evaluation\.every is 3.*data.validation=<folder of shards>"):
        run_stage(replace(config, evaluation=EvaluationConfig(every=3)))
