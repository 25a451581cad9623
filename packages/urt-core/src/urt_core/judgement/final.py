"""Which of a text's answer blocks is its final answer."""

from collections.abc import Callable
from typing import TypeVar

from urt_core.judgement.blocks import Blocks
from urt_core.judgement.result import FailureKind, ParseFailure

A = TypeVar("A")


def final_answer(blocks: Blocks, read: Callable[[str], A | FailureKind]) -> A | ParseFailure:
    """The last answer block outside the reasoning, as `read` reads it. Any other readable answer has to say the
    same."""
    if blocks.is_open:
        inside = blocks.num_inside and not blocks.answers
        return ParseFailure.at(FailureKind.ANSWER_IN_REASONING if inside else FailureKind.TRUNCATED, blocks.reasoning)
    if not blocks.answers:
        inside = blocks.num_inside or blocks.doubtful
        return ParseFailure.at(FailureKind.ANSWER_IN_REASONING if inside else FailureKind.NO_ANSWER, blocks.reasoning)
    last = blocks.answers[-1]
    answer = read(last)
    if isinstance(answer, FailureKind):
        return ParseFailure.at(answer, last)
    for other in (*blocks.doubtful, *blocks.answers[:-1]):
        if read(other) not in (answer, FailureKind.UNREADABLE_ANSWER):
            return ParseFailure.at(FailureKind.CONFLICTING_ANSWERS, last)
    return answer
