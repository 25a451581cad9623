"""What a device is given is what training gives it."""

from pathlib import Path

import pytest

from urt_core import Task
from urt_core.errors import ConfigError
from urt_train.cli import compose
from urt_train.config import TrainConfig
from urt_train.experiment.dry_run.lengths import prompt_lengths
from urt_train.experiment.dry_run.shape import shape_of
from urt_train.experiment.dry_run.workload import learning, sampling

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def in_repository(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)


def lengths_of(overrides: list[str]) -> tuple[TrainConfig, dict]:
    config = compose(overrides)
    return config, prompt_lengths(config, shape_of(config.model.base))


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
