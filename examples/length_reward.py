"""A reward for short reasoning: full up to BUDGET tokens, nothing from twice as many on.

urt-train stage=grpo grpo.rewards.length_reward:shortness=0.2
"""

from urt_core import Judgement
from urt_core.rewards import RewardInput

BUDGET = 256


def shortness(sample: RewardInput) -> float:
    """From 0 to 1. What can't be read earns nothing, or silence would be the shortest judgement of all."""
    if not isinstance(sample.judgement, Judgement):
        return 0.0
    excess = len(sample.completion.token_ids) / BUDGET - 1.0
    return min(1.0, max(0.0, 1.0 - excess))
