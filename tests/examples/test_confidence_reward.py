"""A contract with a stated confidence, and the reward under which stating the truth pays."""

from typing import Any

import pytest

from tests.examples.test_length_reward import RECORD
from urt_core import Completion, ParseFailure, load_contract, parse_judgement
from urt_core.rewards import RewardInput, Rewards
from urt_train.cli import compose

SEEN = "The first shows a cube, the second none."


def rewards_of(copied, *texts: str) -> list[float]:
    copied("confidence_reward")
    dialect = load_contract("confidence_reward:CONFIDENT")
    rewards = Rewards.load({"confidence_reward:right_and_sure": 1.0})
    rewards.try_out()
    return [
        found.total for found in rewards([RewardInput.read(Completion(text=text), RECORD, dialect) for text in texts])
    ]


@pytest.mark.parametrize(
    ("number", "confidence", "expected"),
    [(1, "1", 1.0), (1, "0.5", 0.75), (1, "0", 0.0), (2, "0", 0.0), (2, "0.5", -0.25), (2, "1.0", -1.0)],
)
def test_it_is_the_formula(copied, number: int, confidence: str, expected: float) -> None:
    """R = right - (q - right)^2; the first image is the better one."""
    [found] = rewards_of(copied, f"{SEEN}\nBetter: Image {number}\nConfidence: {confidence}")
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("truth", [0.1, 0.5, 0.73, 0.95])
def test_stating_the_truth_pays_most(copied, truth: float) -> None:
    """The mean over answers of which a share `truth` is right, at every confidence of a grid."""
    grid = [step / 100 for step in range(101)]
    texts = [f"{SEEN}\nBetter: Image {number}\nConfidence: {q}" for number in (1, 2) for q in grid]
    found = rewards_of(copied, *texts)
    means = [truth * right + (1 - truth) * wrong for right, wrong in zip(found[:101], found[101:], strict=True)]
    assert grid[max(range(101), key=means.__getitem__)] == truth


@pytest.mark.parametrize("end", ["Confidence: 1.2", "Confidence: -0.1", "Confidence: high", "Confidence: nan", ""])
def test_what_states_no_confidence_is_unreadable_and_earns_least(copied, end: str) -> None:
    text = f"{SEEN}\nBetter: Image 1\n{end}"
    assert rewards_of(copied, text) == [-1.0]
    dialect = load_contract("confidence_reward:CONFIDENT")
    assert isinstance(parse_judgement(text, task=RECORD.task, dialect=dialect), ParseFailure)


def test_the_trainer_takes_both_from_the_command_line(copied) -> None:
    copied("confidence_reward")
    reward = "grpo.rewards.confidence_reward:right_and_sure=1"
    config = compose(["stage=grpo", "judge.dialect=confidence_reward:CONFIDENT", reward])
    settings: Any = config.stage_config
    assert settings.rewards["confidence_reward:right_and_sure"] == 1.0
    assert config.judge.dialect == "confidence_reward:CONFIDENT"
