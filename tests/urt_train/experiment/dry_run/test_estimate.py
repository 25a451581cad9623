"""The dry run of every recipe, and what it says."""

import re
from pathlib import Path

import pytest

from urt_core import Task
from urt_core.errors import ConfigError
from urt_train.cli import CONFIGS, compose
from urt_train.config import TrainConfig
from urt_train.experiment.dry_run import dry_run
from urt_train.experiment.dry_run.advice import advice
from urt_train.experiment.dry_run.lengths import prompt_lengths
from urt_train.experiment.dry_run.shape import shape_of
from urt_train.experiment.dry_run.states import Strategy
from urt_train.experiment.dry_run.tables import estimate_tables, notes, remedies, summary
from urt_train.experiment.dry_run.workload import learning, sampling

ROOT = Path(__file__).parents[4]
STAGES = {"qwen3_vl_2b_lora_24gb": "[cold_start,rejection_sampling,grpo,evaluation]", "tiny": "[grpo,evaluation]"}
"""Each recipe by its most demanding stage, two of them by all; the parts of the tiny base have a cold start alone."""


@pytest.fixture(autouse=True)
def in_repository(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("recipe", sorted(path.stem for path in (CONFIGS / "recipe").glob("*.yaml")))
def test_every_recipe_can_be_computed(recipe: str) -> None:
    default = "[cold_start]" if recipe.startswith("tiny_") else "[grpo]"
    estimate = dry_run(compose([f"recipe={recipe}", f"dry_run.stages={STAGES.get(recipe, default)}"]))
    assert 0 < estimate.trained <= estimate.parameters
    for stage in estimate.stages:
        assert stage.largest.total > estimate.parameters / estimate.config.dry_run.devices
        assert stage.fits == (stage.largest.total <= stage.room)
        assert bool(advice(estimate, stage)) != stage.fits
    text = "\n".join(table.markdown() for table in estimate_tables(estimate))
    assert "Exact:" in "\n".join(notes(estimate))
    assert len(remedies(estimate)) == sum(not stage.fits for stage in estimate.stages)
    assert summary(estimate).startswith(f"{recipe} on {estimate.config.dry_run.devices} device")
    assert re.search(rf"Everything \| {estimate.parameters:,} \| {estimate.trained:,}", text)


def lengths_of(overrides: list[str]) -> tuple[TrainConfig, dict]:
    config = compose(overrides)
    return config, prompt_lengths(config, shape_of(config.model.base))


def test_pictures_take_the_tokens_that_the_families_give_them() -> None:
    """512 x 512 in units of 32 x 32 pixels; the paper's 384 x 384 in units of 28 x 28, of which 13 x 14 fit;
    LLaVA-OneVision's one tile of 729 and a newline for each of several images."""
    numbers = {}
    for recipe in ("qwen3_vl_8b", "paper_qwen2_5_vl_7b", "paper_llava_7b"):
        _, lengths = lengths_of([f"recipe={recipe}"])
        numbers[recipe] = [lengths[task].pictures.tokens for task in (Task.IMAGE_GENERATION, Task.VIDEO_GENERATION)]
    assert numbers == {
        "qwen3_vl_8b": [2 * 256, 16 * 256],
        "paper_qwen2_5_vl_7b": [2 * 182, 16 * 182],
        "paper_llava_7b": [2 * 730, 16 * 730],
    }


def test_batches_are_those_of_training() -> None:
    config, lengths = lengths_of(["recipe=qwen3_vl_8b", "dry_run.devices=8"])
    grpo = learning(config, "grpo", lengths)
    prompt = lengths[Task.VIDEO_GENERATION].tokens
    assert (grpo.groups, grpo.group, grpo.plan.batches_per_step) == (2, 4, 8), "64 pairs in both orders over 8 devices"
    assert grpo.tokens == 2 * (prompt + 4 * 2047)
    rollout = sampling(config, "grpo", lengths)
    assert rollout is not None
    assert (rollout.prompts, rollout.group) == (16, 4)
    cold_start = learning(config, "cold_start", lengths)
    assert cold_start.prompt.task is Task.IMAGE_GENERATION, "what the teacher is asked for"
    assert (cold_start.tokens, cold_start.plan.batches_per_step) == (cold_start.prompt.tokens + 2047, 16)


def test_prompts_above_the_limit_are_left_out_and_named() -> None:
    config, lengths = lengths_of(["recipe=paper_llava_7b", "grpo.max_prompt_tokens=2048"])
    grpo = learning(config, "grpo", lengths)
    assert (grpo.prompt.task, set(grpo.left_out)) == (Task.IMAGE_GENERATION, set(Task) - {Task.IMAGE_GENERATION})
    config.grpo.max_prompt_tokens = 500
    with pytest.raises(
        ConfigError, match=r"grpo\.max_prompt_tokens is 500, and prompts at the limits of judge have 1,?724 tokens"
    ):
        learning(config, "grpo", lengths)


def test_a_number_of_devices_that_does_not_divide_the_batch_is_refused_as_in_training() -> None:
    with pytest.raises(ConfigError, match=r"grpo\.prompts_per_rollout is 32; allowed: a multiple of the 7 devices"):
        dry_run(compose(["dry_run.devices=7", "dry_run.stages=[grpo]"]))


def test_too_little_memory_is_said_with_what_would_help() -> None:
    overrides = ["dry_run.stages=[grpo]", "dry_run.device_memory_gib=0.1", "dry_run.reserve_gib=0"]
    estimate = dry_run(compose(overrides))
    (stage,) = estimate.stages
    assert not stage.fits
    assert stage.fitting_prompts is not None
    (line,) = remedies(estimate)
    assert "grpo.generation_batch_size=" in line
    assert "model.gradient_checkpointing=true" in line
    fewer = dry_run(compose([*overrides, f"grpo.generation_batch_size={max(1, stage.fitting_prompts)}"]))
    sampled = fewer.stages[0].largest_of("sampling")
    assert sampled is not None
    assert sampled.total <= stage.room


def test_zero3_is_refused_for_a_stage_that_samples() -> None:
    estimate = dry_run(compose(["strategy=deepspeed_zero3", "dry_run.stages=[grpo]"]))
    assert estimate.strategy is Strategy.ZERO3
    assert not estimate.stages[0].fits
    assert "strategy=fsdp2" in remedies(estimate)[0]
