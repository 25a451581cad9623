"""How a pair is asked: at once, with reasoning, or at once where that is sure enough."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from numbers import Real

from urt_core.comparison import Comparison, Order, ProbabilityMethod, by_votes
from urt_core.engines import SamplingParams, Status
from urt_core.errors import ConfigError
from urt_core.instant.calibration import InstantCalibration
from urt_core.judging.verdict_logprob import verdict_share
from urt_core.records import Preference

INSTANT_TOKENS = 16
"""A verdict sentence is 2 to 8 tokens with its end; what takes more is no instant answer."""
NUM_LIKELIEST = 5
"""Likeliest tokens that are looked at for the other candidate's number: endpoints give 5 at least where they give any."""


class Mode(StrEnum):
    """How a pair is asked."""

    REASON = "reason"
    """As the judge was trained to: in its own dialect."""
    INSTANT = "instant"
    """For the verdict alone, in the direct dialect, in both orders: about 2 tokens each."""
    AUTO = "auto"
    """Instantly; and with reasoning where the calibrated probability lies between the bounds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Between which calibrated probabilities of the first candidate `auto` reasons: Bounds(low=0.1, high=0.9)"""

    low: float = 0.1
    high: float = 0.9

    def __post_init__(self) -> None:
        both = (self.low, self.high)
        are_numbers = all(isinstance(value, Real) and not isinstance(value, bool) for value in both)
        if not are_numbers or not 0 <= self.low <= self.high <= 1:
            low, high = (f"{value!s:.40}" if are_numbers else f"{value!r:.40}" for value in both)
            raise ConfigError(f"bounds are {low} and {high}; allowed: two numbers from 0 to 1, the lower one first")

    def need_reasoning(self, probability: float) -> bool:
        return self.low < probability < self.high


def checked_mode(mode: Mode | str, calibration: InstantCalibration | None, orders: Sequence[Order]) -> Mode:
    try:
        asked = Mode(mode)
    except ValueError:
        raise ConfigError(f"mode is {mode!r:.80}; allowed: {', '.join(map(str, Mode))}") from None
    if asked is Mode.AUTO and calibration is None:
        raise ConfigError(
            "mode is auto, which trusts calibrated probabilities, and this judge has no calibration in its judge.json; ask with mode"
            " instant or reason, or train one that has: urt-train stage=internalise (docs/serving.md)"
        )
    if asked is Mode.AUTO and len(orders) < len(Order):
        raise ConfigError(
            "mode is auto, which trusts calibrated probabilities, and orders is given, while the calibration is of the mean over both"
            " orders; ask with orders both, or with mode instant or reason"
        )
    return asked


def as_bounds(bounds: Bounds | Sequence[float]) -> Bounds:
    if isinstance(bounds, Bounds):
        return bounds
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise ConfigError(f"bounds are {bounds!r:.80}; allowed: two numbers from 0 to 1, the lower one first") from None
    return Bounds(low=low, high=high)


def instant_sampling(sampling: SamplingParams) -> SamplingParams:
    """Greedy, with what the probability is read from."""
    return replace(
        sampling,
        temperature=0.0,
        top_p=1.0,
        max_tokens=INSTANT_TOKENS,
        num_completions=1,
        logprobs=True,
        top_logprobs=NUM_LIKELIEST,
    )


def one_pass_sampling(mode: Mode, sampling: SamplingParams) -> SamplingParams:
    """How a question is sampled that is asked once."""
    if mode is Mode.AUTO:
        raise ConfigError(
            "mode is auto, which may ask a pair twice, and a ranking asks each once; allowed: reason, instant"
        )
    return instant_sampling(sampling) if mode is Mode.INSTANT else sampling


def as_instant(comparison: Comparison, calibration: InstantCalibration | None) -> Comparison:
    """The comparison of instant votes: its preference is that of the probability, averaged over both orders, so that an order that
    disagrees weakly does not make a tie. Calibrated where the judge has a map for the task, which is one of that average: not where it was
    asked in one order alone."""
    instant = replace(comparison, mode=str(Mode.INSTANT))
    probability = comparison.probability_first
    if comparison.status is not Status.OK or probability is None:
        return instant
    if comparison.probability_method is not ProbabilityMethod.LOGPROB:
        return instant  # the engine gave no log-probabilities: votes alone
    if any(verdict_share(vote.completion) is None for vote in comparison.votes if vote.preference is not None):
        return by_votes(instant)  # it gave that of the verdict's number, and nothing of the other one's
    preference = Preference.TIE
    if probability != 0.5:
        preference = Preference.FIRST if probability > 0.5 else Preference.SECOND
    is_average = comparison.position_consistent is not None
    known = calibration.tasks.get(str(comparison.task)) if calibration and is_average else None
    return replace(
        instant,
        preference=preference,
        probability_first=known(probability) if known else probability,
        calibrated=known is not None,
    )


def is_sure(instant: Comparison, bounds: Bounds) -> bool:
    """Whether an instant answer needs no reasoning: read, calibrated, and outside of the bounds. One that failed for another reason than
    its wording would fail again."""
    if instant.status in (Status.PARSE_ERROR, Status.TRUNCATED):
        return False
    if instant.status is not Status.OK:
        return True
    if instant.probability_first is None or not instant.calibrated:
        return False
    return not bounds.need_reasoning(instant.probability_first)


def after_reasoning(instant: Comparison, reasoned: Comparison) -> Comparison:
    """The reasoned comparison, which says what was known before and pays for both."""
    return replace(
        reasoned,
        mode=str(Mode.REASON),
        instant_probability=instant.probability_first if instant.calibrated else None,
        usage=instant.usage + reasoned.usage,
    )
