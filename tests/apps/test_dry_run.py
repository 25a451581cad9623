"""python apps/dry_run.py: every shipped recipe is computed without weights; what does not fit is said."""

import subprocess
import sys
from pathlib import Path

import pytest

from urt_train.config import Stage
from urt_train.dry_run import dry_run
from urt_train.dry_run.tables import estimate_tables, remedies, summary
from urt_train.program import compose

ROOT = Path(__file__).parents[2]
RECIPES = ["paper_llava_7b", "paper_qwen2_5_vl_7b", "qwen3_vl_2b_lora_24gb", "qwen3_vl_8b", "qwen3_5_9b"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_computed_without_weights(recipe: str) -> None:
    devices = 1 if recipe.endswith("24gb") else 8
    memory = 24 if recipe.endswith("24gb") else 80
    settings = [f"recipe={recipe}", f"dry_run.devices={devices}", f"dry_run.device_memory_gib={memory}"]
    estimate = dry_run(compose(ROOT / "apps" / "configs", [*settings, "dry_run.stages=[cold_start]"]))
    (stage,) = estimate.stages
    assert stage.name == Stage.cold_start.value
    assert stage.fits, summary(estimate)
    assert 0 < stage.largest.total < stage.room
    assert "Everything" in "".join(table.markdown() for table in estimate_tables(estimate))
    assert f"{devices} device" in summary(estimate)


def test_what_does_not_fit_is_said_with_what_would_help() -> None:
    settings = ["recipe=qwen3_vl_8b", "dry_run.devices=1", "dry_run.device_memory_gib=80", "strategy=ddp"]
    estimate = dry_run(compose(ROOT / "apps" / "configs", [*settings, "dry_run.stages=[cold_start]"]))
    assert "cold_start does not fit" in summary(estimate)
    (line,) = remedies(estimate)
    assert "would help" in line
    assert "model.lora.rank=32" in line


@pytest.mark.slow
def test_the_program_prints_the_tiny_recipe() -> None:
    command = [sys.executable, "-W", "ignore", "apps/dry_run.py", "dry_run.device_memory_gib=24"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "tiny on 1 device of 24 GiB" in run.stdout
    assert "grpo fits" in run.stdout
