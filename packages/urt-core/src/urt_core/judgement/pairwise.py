"""Reads the judgement of a pair, in every dialect."""

from urt_core.judgement.blocks import Blocks, cut_blocks
from urt_core.judgement.result import Judgement, ParseFailure, failure
from urt_core.judgement.scores import check_sums, find_marks, read_scores, read_totals, split_totals
from urt_core.judgement.signs import plain_signs
from urt_core.judgement.verdict import read_direct_answer, read_verdict
from urt_core.prompts.prompt import Dialect
from urt_core.records import Preference, Task


def parse_judgement(text: str, *, task: Task, dialect: Dialect | None = None) -> Judgement | ParseFailure:
    """Reads a judgement. Never raises on any string, and never makes a verdict of a text that does not state one.

    Without a dialect, a text with think or answer tags is read as chain of thought and any other as a direct answer.
    """
    text = plain_signs(text)
    blocks = cut_blocks(text)
    if blocks.found_tags:
        return _read_tagged(blocks, task=task, ties=dialect is Dialect.DIRECT)
    if not text.strip():
        return failure("empty")
    if dialect is Dialect.V1 or dialect is Dialect.V2:
        return failure("no_answer", text)
    verdict = read_direct_answer(text, task=task)
    if not isinstance(verdict, Preference):
        return failure(verdict, text)
    reasoning = text.strip()
    return Judgement(verdict=verdict, scores={}, reasoning=reasoning if "\n" in reasoning else "")


def _read_tagged(blocks: Blocks, *, task: Task, ties: bool) -> Judgement | ParseFailure:
    if blocks.is_open:
        kind = "answer_in_reasoning" if blocks.num_inside and not blocks.answers else "truncated"
        return failure(kind, blocks.reasoning)
    if not blocks.answers:
        kind = "answer_in_reasoning" if blocks.num_inside or blocks.doubtful else "no_answer"
        return failure(kind, blocks.reasoning)
    final = blocks.answers[-1]
    verdict = read_verdict(final, task=task)
    if not isinstance(verdict, Preference):
        return failure(verdict, final)
    for other in (*blocks.doubtful, *blocks.answers[:-1]):
        if read_verdict(other, task=task) not in (verdict, "unreadable_answer"):
            return failure("conflicting_answers", final)
    if verdict is Preference.TIE and not ties:
        return failure("tie_not_allowed", final)
    # A quoted answer can close the reasoning of a text that was cut off later: then the scoring goes on behind it.
    if blocks.tail and find_marks(blocks.tail, noun=task.noun):
        return failure("truncated", blocks.tail)
    return _with_scores(verdict, blocks.reasoning, noun=task.noun)


def _with_scores(verdict: Preference, reasoning: str, *, noun: str) -> Judgement:
    body, block = split_totals(reasoning)
    scores, complete = read_scores(body, noun=noun)
    totals = read_totals(block, noun=noun)
    if totals is None:
        return Judgement(verdict=verdict, scores=scores, reasoning=reasoning)
    first, second = totals["1"][1], totals["2"][1]
    higher = Preference.FIRST if first > second else Preference.SECOND if second > first else Preference.TIE
    return Judgement(
        verdict=verdict,
        scores=scores,
        totals=(first, second),
        sums_consistent=check_sums(scores, totals, complete=complete),
        answer_matches_totals=verdict is higher,
        reasoning=reasoning,
    )
