"""What a trainer gets for a sample that could not be judged. A number that looks like a judgement is never among the
defaults."""

import logging
import math
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from urt_core.engines import Status
from urt_core.errors import ConfigError, EngineError

logger = logging.getLogger("urt")

TIE_REWARD = 0.5


class FailurePolicy(StrEnum):
    """Every adapter takes one as `on_failure`."""

    NAN = "nan"
    """NaN: trainers that know it leave the sample out, the others stop visibly."""
    RAISE = "raise"
    """An error that names how many samples failed and why."""
    DROP = "drop"
    """The mean of the group's judged samples: an advantage of 0, so the sample moves nothing. Needs a group."""
    TIE = "tie"
    """0.5, as if the judge had seen no difference."""


class FailureTally:
    """Counts failures over the life of an adapter and logs their rate.

    tally = FailureTally(name="win_rate"); tally.add([Status.OK, Status.TIMEOUT]); tally.rate    # 0.5
    """

    def __init__(self, *, name: str) -> None:
        self.name = name
        self.counts: Counter[Status] = Counter()

    def add(self, statuses: Sequence[Status]) -> None:
        self.counts.update(statuses)
        failed = [str(status) for status in statuses if status is not Status.OK]
        if failed:
            logger.warning(
                "%s: %d of %d samples could not be judged (%s); %.2f %% of %d so far",
                self.name,
                len(failed),
                len(statuses),
                ", ".join(f"{status} {number}" for status, number in Counter(failed).items()),
                100 * self.rate,
                self.counts.total(),
            )

    @property
    def rate(self) -> float:
        return 1 - self.counts[Status.OK] / self.counts.total() if self.counts else 0.0


def apply_policy(
    rewards: Sequence[float | None], statuses: Sequence[Status], *, policy: FailurePolicy, groups: Sequence[object]
) -> list[float]:
    """Numbers for a trainer; `groups` says which samples belong together, for `drop`."""
    policy = FailurePolicy(policy)
    failed = [index for index, reward in enumerate(rewards) if reward is None]
    if failed and policy is FailurePolicy.RAISE:
        kinds = Counter(str(statuses[index]) for index in failed)
        raise EngineError(
            f"{len(failed)} of {len(rewards)} samples could not be judged ({dict(kinds)}); look at the judge, or choose "
            "on_failure='nan', 'drop' or 'tie'"
        )
    filled = [math.nan if reward is None else reward for reward in rewards]
    for index in failed:
        if policy is FailurePolicy.TIE:
            filled[index] = TIE_REWARD
        elif policy is FailurePolicy.DROP:
            judged = [
                reward
                for reward, group in zip(rewards, groups, strict=True)
                if group == groups[index] and reward is not None
            ]
            filled[index] = sum(judged) / len(judged) if judged else math.nan
    return filled


def policy_without_group(policy: FailurePolicy | str, what: str) -> FailurePolicy:
    """The policy, for trainers that show one sample at a time."""
    if FailurePolicy(policy) is FailurePolicy.DROP:
        raise ConfigError(f"on_failure='drop' needs the sample's group, but {what}; use 'nan', 'raise' or 'tie'")
    return FailurePolicy(policy)
