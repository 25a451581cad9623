"""Secrets leave no text: kept ones in every spelling, and what looks like one."""

import pytest

from urt_core.redaction import HIDDEN, keep_secret, redacted, spellings, without_kept_secrets


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Illegal header value b'Bearer abcdef123456'", "abcdef123456"),
        ("proxy http://me:hunter22@proxy:3128/ refused", "hunter22"),
        ('{"api_key": "0123456789abcdef"}', "0123456789abcdef"),
        ("Incorrect API key provided: sk-proj-abcdefgh12345678.", "sk-proj-abcdefgh12345678"),
        ("GET /v1?token=abcdefgh&x=1", "abcdefgh"),
        ("OPENAI_API_KEY=abcdefghijkl", "abcdefghijkl"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, secret: str) -> None:
    assert secret not in redacted(text)
    assert HIDDEN in redacted(text)
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    "text", ["The token count is 512.", "Image 1 is better", "key frames: 8", "https://example.org/a"]
)
def test_ordinary_words_stay(text: str) -> None:
    assert redacted(text) == text


def test_a_kept_secret_is_found_however_it_is_written() -> None:
    secret = 'p"ss/w\u00f6rd 1'
    keep_secret(secret)
    for spelling in spellings(secret):
        assert without_kept_secrets(f"before {spelling} after") == f"before {HIDDEN} after"
