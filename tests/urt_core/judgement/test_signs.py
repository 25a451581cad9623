"""Signs that models write in several ways have one spelling, and angle brackets are left alone."""

import pytest

from urt_core.judgement.signs import plain_signs


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("plain", "plain"),
        ("\uff11\uff0f\uff11\uff10\uff09", "1/10)"),
        ("a\u2014b \u2022 c\u00a0d", "a-b * c d"),
        ("\u3010Image 1\u3011\u3002", "[Image 1]."),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("\uff1canswer\uff1e", "\uff1canswer\uff1e"),  # a tag is made of ASCII brackets alone
    ],
)
def test_one_spelling(text: str, plain: str) -> None:
    assert plain_signs(text) == plain
    assert plain_signs(plain) == plain
