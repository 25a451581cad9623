"""Sentences that are a verdict: which words, which noun, and which other sentences may stand beside them."""

import pytest

from urt_core import Preference
from urt_core.judgement import FailureKind
from urt_core.judgement.verdict import read_direct_answer, read_verdict


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Image 1 is better", Preference.FIRST),
        ("  image 2\n is  better. ", Preference.SECOND),
        ("Image 2 is better than Image 1", Preference.SECOND),
        ("Both images are equally good.", Preference.TIE),
        ("Image 1 is better than Image 1", FailureKind.UNREADABLE_ANSWER),
        ("Image 1 is better..", FailureKind.UNREADABLE_ANSWER),
        ("Image 3 is better", FailureKind.UNREADABLE_ANSWER),
        ("Video 1 is better", FailureKind.WRONG_NOUN),
        ("x" * 10_000, FailureKind.UNREADABLE_ANSWER),
    ],
)
def test_the_whole_content_is_the_verdict(content: str, expected: Preference | FailureKind) -> None:
    assert read_verdict(content, noun="Image") is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Image 1 is better.", Preference.FIRST),
        ("The first is sharp.\nOverall Judgement: Image 1 is better.", Preference.FIRST),
        ("Image 1 is better. It is sharp.", Preference.FIRST),
        ("Image 1 is better. Still, Image 2 is better in colour.", FailureKind.CONFLICTING_ANSWERS),
        ("Image 2 is better.\nImage 1 is better.", FailureKind.CONFLICTING_ANSWERS),
        ("I like them.\nThey are nice.", FailureKind.NO_ANSWER),
        ("who knows", FailureKind.UNREADABLE_ANSWER),
    ],
)
def test_a_direct_answer(text: str, expected: Preference | FailureKind) -> None:
    assert read_direct_answer(text, noun="Image") is expected
