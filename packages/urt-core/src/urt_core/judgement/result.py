"""What reading a completion gives: a judgement, or the reason why there is none."""

from dataclasses import dataclass
from enum import StrEnum

from urt_core.errors import ConfigError
from urt_core.records import Preference


class FailureKind(StrEnum):
    """Every reason why a completion cannot be read."""

    EMPTY = "empty"
    """The text is empty."""
    NO_ANSWER = "no_answer"
    """There is no answer block, and no sentence of its own that gives a verdict."""
    TRUNCATED = "truncated"
    """A think or answer block was opened and never closed, or the scoring goes on behind the answer."""
    ANSWER_IN_REASONING = "answer_in_reasoning"
    """The only answer blocks are part of the reasoning."""
    UNREADABLE_ANSWER = "unreadable_answer"
    """The final answer is not what was asked for."""
    WRONG_NOUN = "wrong_noun"
    """The final answer names another kind of candidate than the task has."""
    TIE_NOT_ALLOWED = "tie_not_allowed"
    """The final answer is a tie, which a chain-of-thought dialect does not have."""
    CONFLICTING_ANSWERS = "conflicting_answers"
    """The text gives two different final answers, or two values for the same score of a pointwise contract."""
    MISSING_SCORE = "missing_score"
    """A score that the pointwise contract needs is missing or no number."""
    OUT_OF_SCALE = "out_of_scale"
    """A score that the pointwise contract needs lies outside its scale."""

    CONTRACT_ERROR = "contract_error"
    """The parser of a user's own contract raised, or returned something else than a reading."""


_EXCERPT_CHARACTERS = 160


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A completion that was read.

    Judgement(
        verdict=Preference.SECOND,
        scores={"semantic consistency": (7.0, 9.0), "aesthetics": (8.0, 8.0), "authenticity": (6.0, 8.0)},
        totals=(21.0, 25.0), sums_consistent=True, answer_matches_totals=True, reasoning="1. Semantic consistency: ...",
    )
    """

    verdict: Preference
    scores: dict[str, tuple[float, float]]
    """Lower-case dimension -> scores of candidates 1 and 2, on the scale 1 to 10; unreadable ones are left out."""
    totals: tuple[float, float] | None = None
    """The totals as stated, of candidates 1 and 2."""
    sums_consistent: bool | None = None
    """Whether the stated sums add up and repeat the scores; None without totals, or where a score had to be left
    out."""
    answer_matches_totals: bool | None = None
    """Whether the verdict names the candidate with the higher stated total; None without totals."""
    reasoning: str = ""
    """What the think block says, or what stands before the answer where there is no think block."""
    confidence: float | None = None
    """The probability, from 0 to 1, that the judge itself states that its verdict is right; None where it states
    none."""

    def __post_init__(self) -> None:
        if self.confidence is not None and not 0.0 <= self.confidence <= 1.0:
            raise ConfigError(
                f"the confidence of a judgement is {self.confidence}; allowed: from 0 to 1, or None where none is stated"
            )

    @property
    def margin(self) -> float | None:
        """Stated total of candidate 1 less that of candidate 2."""
        return self.totals[0] - self.totals[1] if self.totals else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParseFailure:
    """A completion that cannot be read: ParseFailure(kind="truncated", excerpt="... Total score:\\nImage 1: 8+7").

    It is no verdict, tie or score, and nothing in this project turns it into one.
    """

    kind: FailureKind | str
    """The parser's reason; of a completion that never came, the status of the engine."""
    excerpt: str = ""
    """The end of the text that shows why, at most 160 characters."""

    @classmethod
    def at(cls, kind: FailureKind, text: str = "") -> "ParseFailure":
        return cls(kind=kind, excerpt=text[-_EXCERPT_CHARACTERS:].strip())
