"""A reward of a user's own, by its import path, beside the built-in ones."""

from typing import Any

import pytest

from urt_core import Completion, Dialect, Media, MediaKind, Preference, PreferenceRecord, Task
from urt_core.rewards import RewardInput, Rewards
from urt_train.cli import compose

PICTURE = Media(kind=MediaKind.IMAGE, files=("picture.png",))
RECORD = PreferenceRecord(
    key="pair",
    task=Task.IMAGE_GENERATION,
    text="a red cube",
    first=PICTURE,
    second=PICTURE,
    preference=Preference.FIRST,
)
READABLE = "<think>red</think>\n<answer>Image 1 is better</answer>"


def sample(text: str, num_tokens: int) -> RewardInput:
    return RewardInput.read(Completion(text=text, token_ids=(1,) * num_tokens), RECORD, Dialect.V1)


@pytest.mark.parametrize(
    ("text", "num_tokens", "expected"),
    [(READABLE, 10, 1.0), (READABLE, 256, 1.0), (READABLE, 384, 0.5), (READABLE, 600, 0.0), ("I can't tell.", 10, 0.0)],
)
def test_short_reasoning_earns_more(copied, text: str, num_tokens: int, expected: float) -> None:
    copied("length_reward")
    rewards = Rewards.load({"accuracy": 1.0, "length_reward:shortness": 0.2})
    rewards.try_out()
    [found] = rewards([sample(text, num_tokens)])
    assert found.parts["length_reward:shortness"] == expected
    assert found.total == pytest.approx((text == READABLE) + 0.2 * expected)


def test_the_trainer_takes_it_from_the_command_line(copied) -> None:
    copied("length_reward")
    config = compose(["stage=grpo", "grpo.rewards.length_reward:shortness=0.2"])
    settings: Any = config.stage_config
    assert settings.rewards["length_reward:shortness"] == 0.2
