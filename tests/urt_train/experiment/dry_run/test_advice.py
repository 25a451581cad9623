"""What would help where memory does not suffice."""

from pathlib import Path

import pytest

from urt_train.cli import compose
from urt_train.experiment.dry_run import dry_run
from urt_train.experiment.dry_run.tables import remedies

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def in_repository(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)


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
