"""The dry run of every recipe, and what it says."""

import re
from pathlib import Path

import pytest

from urt_core.errors import ConfigError
from urt_train.cli import CONFIGS, compose
from urt_train.experiment.dry_run import dry_run
from urt_train.experiment.dry_run.advice import advice
from urt_train.experiment.dry_run.states import Strategy
from urt_train.experiment.dry_run.tables import estimate_tables, notes, remedies, summary

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


def test_a_number_of_devices_that_does_not_divide_the_batch_is_refused_as_in_training() -> None:
    with pytest.raises(ConfigError, match=r"grpo\.prompts_per_rollout is 32; allowed: a multiple of the 7 devices"):
        dry_run(compose(["dry_run.devices=7", "dry_run.stages=[grpo]"]))


def test_zero3_is_refused_for_a_stage_that_samples() -> None:
    estimate = dry_run(compose(["strategy=deepspeed_zero3", "dry_run.stages=[grpo]"]))
    assert estimate.strategy is Strategy.ZERO3
    assert not estimate.stages[0].fits
    assert "strategy=fsdp2" in remedies(estimate)[0]


def test_neighbours_that_share_a_vllm_hold_their_part_of_its_weights() -> None:
    held = []
    for number in (1, 2):
        given = ["recipe=tiny", "engine=vllm", "dry_run.stages=[grpo]", "dry_run.devices=2"]
        [stage] = dry_run(compose([*given, f"grpo.vllm_tensor_parallel={number}"])).stages
        held.append(sum(moment.holds.get("vLLM's weights", 0.0) for moment in stage.moments))
    assert held[0] == 2 * held[1] > 0
