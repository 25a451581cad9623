"""Reads the judgement of a pair, in every dialect."""

from urt_core.judgement.blocks import Blocks, cut_blocks
from urt_core.judgement.final import final_answer
from urt_core.judgement.result import FailureKind, Judgement, ParseFailure
from urt_core.judgement.scores import check_sums, has_marks, read_scores, read_totals, split_totals
from urt_core.judgement.signs import plain_signs
from urt_core.judgement.verdict import read_direct_answer, read_verdict
from urt_core.prompts.names import contract_of
from urt_core.prompts.prompt import Dialect
from urt_core.records import Preference, Task


def parse_judgement(text: str, *, task: Task, dialect: Dialect | None = None) -> Judgement | ParseFailure:
    """Reads a judgement. Never raises on any string, and never makes a verdict of a text that does not state one.

    Without a dialect, a text with think or answer tags is read as chain of thought and any other as a direct answer.
    """
    if dialect is None:
        return read_pair(text, task, dialect=None)
    return contract_of(Dialect(dialect)).read(text, Task(task))  # type: ignore[return-value]


def read_pair(text: str, task: Task, *, dialect: Dialect | None) -> Judgement | ParseFailure:
    """`parse_judgement` for the dialects of the released weights."""
    text = plain_signs(text)
    noun = task.noun if isinstance(task, Task) else Task(task).noun
    blocks = cut_blocks(text)
    if blocks.found_tags:
        return _read_tagged(blocks, noun=noun, ties=dialect == Dialect.DIRECT)
    if not text.strip():
        return ParseFailure.at(FailureKind.EMPTY)
    if dialect is not None and dialect != Dialect.DIRECT:
        return ParseFailure.at(FailureKind.NO_ANSWER, text)
    verdict = read_direct_answer(text, noun=noun)
    if not isinstance(verdict, Preference):
        return ParseFailure.at(verdict, text)
    reasoning = text.strip()
    return Judgement(verdict=verdict, scores={}, reasoning=reasoning if "\n" in reasoning else "")


def _read_tagged(blocks: Blocks, *, noun: str, ties: bool) -> Judgement | ParseFailure:
    verdict = final_answer(blocks, lambda content: read_verdict(content, noun=noun))
    if isinstance(verdict, ParseFailure):
        return verdict
    if verdict is Preference.TIE and not ties:
        return ParseFailure.at(FailureKind.TIE_NOT_ALLOWED, blocks.answers[-1])
    return with_reasoning(verdict, blocks, noun=noun)


def with_reasoning(verdict: Preference, blocks: Blocks, *, noun: str) -> Judgement | ParseFailure:
    """The verdict with the scores of its reasoning, unless the scoring goes on behind it.

    A quoted answer can close the reasoning of a text that was cut off later. Behind a judgement that is whole (scored
    for both, then totalled), scores are no part of it.
    """
    judgement, is_whole = with_scores(verdict, blocks.reasoning, noun=noun)
    if blocks.tail and not is_whole and has_marks(blocks.tail, noun=noun):
        return ParseFailure.at(FailureKind.TRUNCATED, blocks.tail)
    return judgement


def with_scores(verdict: Preference, reasoning: str, *, noun: str) -> tuple[Judgement, bool]:
    """The judgement, and whether it scores both candidates in every dimension and then totals them."""
    body, block = split_totals(reasoning)
    scores = read_scores(body, noun=noun)
    totals = read_totals(block, noun=noun) if block else None
    if totals is None:
        return Judgement(verdict=verdict, scores=scores.of, reasoning=reasoning), False
    first, second = totals["1"][1], totals["2"][1]
    higher = Preference.FIRST if first > second else Preference.SECOND if second > first else Preference.TIE
    judgement = Judgement(
        verdict=verdict,
        scores=scores.of,
        totals=(first, second),
        sums_consistent=check_sums(scores, totals),
        answer_matches_totals=verdict is higher,
        reasoning=reasoning,
    )
    return judgement, bool(scores.lines) and not scores.num_one_sided
