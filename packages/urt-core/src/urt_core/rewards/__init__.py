"""Rewards of a completion: functions of a `RewardInput`, built in or a user's own, weighted and summed.

    Rewards.load({"format": 1.0, "accuracy": 1.0, "my_package.rewards:length": -0.1})(samples) -> [Reward(total, parts), ...]

A reward is `def reward(sample: RewardInput) -> float`, or over `samples: Sequence[RewardInput]`, `async` or not. NaN
says that it could not say: the total is NaN then, and whoever trains leaves that completion out.
"""

from urt_core.rewards.built_in import (
    BUILT_IN,
    accuracy_reward,
    confidence_reward,
    consistency_reward,
    format_reward,
    scores_every_dimension,
)
from urt_core.rewards.door import RewardFunction, Rewards, judge_reward, load_reward, made_up_samples
from urt_core.rewards.sample import Reward, RewardInput, combine

__all__ = [
    "BUILT_IN",
    "Reward",
    "RewardFunction",
    "RewardInput",
    "Rewards",
    "accuracy_reward",
    "combine",
    "confidence_reward",
    "consistency_reward",
    "format_reward",
    "judge_reward",
    "load_reward",
    "made_up_samples",
    "scores_every_dimension",
]
