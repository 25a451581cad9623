"""Tokens of a prompt, as the families give them to pictures."""

from pathlib import Path

import pytest

from urt_core import Task
from urt_train.cli import compose
from urt_train.config import TrainConfig
from urt_train.experiment.dry_run.lengths import prompt_lengths
from urt_train.experiment.dry_run.shape import shape_of

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def in_repository(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)


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
