"""Rewards for other people's trainers, one file each. They all say what becomes of a candidate that could not be
judged.

win rate     how often a sample beats the others of its group (Pref-GRPO); judged pairwise, in both orders
score        the pointwise score of a sample, from 0 to 1
reference    the probability that an answer beats a reference answer
"""

from urt_core.adapters.failures import FailurePolicy, FailureTally
from urt_core.adapters.references import ReferencePool
from urt_core.adapters.rewards import reference_rewards, score_rewards, win_rate_rewards

__all__ = ["FailurePolicy", "FailureTally", "ReferencePool", "reference_rewards", "score_rewards", "win_rate_rewards"]
