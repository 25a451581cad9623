"""What reading a completion gives: a judgement, or the reason why there is none."""

from dataclasses import dataclass

from urt_core.records import Preference

FAILURE_KINDS: dict[str, str] = {
    "empty": "the text is empty",
    "no_answer": "there is no answer block, and no sentence of its own that gives a verdict",
    "truncated": "a think or answer block was opened and never closed, or the scoring goes on behind the answer",
    "answer_in_reasoning": "the only answer blocks are part of the reasoning",
    "unreadable_answer": "the final answer is no verdict",
    "wrong_noun": "the final answer names another kind of candidate than the task has",
    "tie_not_allowed": "the final answer is a tie, which a chain-of-thought dialect does not have",
    "conflicting_answers": "the text gives two different final answers",
}
"""Every `ParseFailure.kind` and what it means."""

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
    """Whether the stated sums add up and repeat the scores; None where totals or scores are missing."""
    answer_matches_totals: bool | None = None
    """Whether the verdict names the candidate with the higher stated total; None without totals."""
    reasoning: str = ""
    """What the think block says, or what stands before the answer where there is no think block."""

    @property
    def margin(self) -> float | None:
        """Stated total of candidate 1 less that of candidate 2."""
        return self.totals[0] - self.totals[1] if self.totals else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParseFailure:
    """A completion that cannot be read: ParseFailure(kind="truncated", excerpt="... Total score:\\nImage 1: 8+7").

    It is no verdict, tie or score, and nothing in this project turns it into one.
    """

    kind: str
    """One of `FAILURE_KINDS`."""
    excerpt: str = ""
    """The end of the text that shows why, at most 160 characters."""


def failure(kind: str, text: str = "") -> ParseFailure:
    return ParseFailure(kind=kind, excerpt=text[-_EXCERPT_CHARACTERS:].strip())
