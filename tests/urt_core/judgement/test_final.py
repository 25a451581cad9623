"""Which answer block decides, and which others have to agree."""

import pytest

from urt_core.judgement import FailureKind, ParseFailure
from urt_core.judgement.blocks import cut_blocks
from urt_core.judgement.final import final_answer


def letter(content: str) -> str | FailureKind:
    return content if content in ("a", "b") else FailureKind.UNREADABLE_ANSWER


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>x</think><answer>a</answer>", "a"),
        ("<answer>a</answer><answer>a</answer>", "a"),
        ("<answer>?</answer><answer>b</answer>", "b"),  # what can't be read says nothing else
        ("<answer>a</answer><answer>b</answer>", FailureKind.CONFLICTING_ANSWERS),
        ("<answer>a</answer></think><answer>b</answer>", FailureKind.CONFLICTING_ANSWERS),
        ("<answer>b</answer><answer>?</answer>", FailureKind.UNREADABLE_ANSWER),
        ("<think>x<answer>a</answer></think>", FailureKind.ANSWER_IN_REASONING),
        ("<think>x<answer>a</answer>", FailureKind.ANSWER_IN_REASONING),
        ("<think>x", FailureKind.TRUNCATED),
        ("<think>x</think>", FailureKind.NO_ANSWER),
    ],
)
def test_final(text: str, expected: str | FailureKind) -> None:
    found = final_answer(cut_blocks(text), letter)
    assert (found.kind if isinstance(found, ParseFailure) else found) == expected
