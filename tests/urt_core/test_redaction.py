"""Nothing that looks like a secret passes, whoever wrote the text around it; ordinary words do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urt_core import redaction
from urt_core.redaction import keep_secret, redacted, without_kept_secrets

SECRET = "abcd1234EFGH"


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    """No key that another test has given to an endpoint: "secret" among them would be hidden in names as well."""
    monkeypatch.setattr(redaction, "_secrets", {})


@pytest.mark.parametrize(
    "text",
    [
        # h11, httpx, aiohttp, requests and urllib3, as they spell what they could not send or reach
        "LocalProtocolError: Illegal header value b'Bearer {}\\n'",
        "ValueError: Newline or carriage return detected in headers: 'Bearer {}\\n'",
        "InvalidHeader(\"Header part ('Bearer {}\\n') from ('Authorization', 'Bearer {}')\")",
        "ClientProxyConnectionError: Cannot connect to host proxy:3128 via http://user:{}@proxy:3128/",
        "HTTPConnectionPool(host='x'): Max retries exceeded with url: /v1?api-key={}&v=1",
        "headers: [(b'authorization', b'Bearer {}'), (b'x', b'y')]",
        "<CIMultiDict('Authorization': 'Bearer {}', 'Host': 'x')>",
        "Headers({{'api-key': '{}'}})",
        # gateways
        '{{"error": {{"message": "bad", "api_key": "{}"}}}}',
        "OPENAI_API_KEY={}",
        "x-api-key: {}",
        "Proxy-Authorization: Basic {}",
        "Set-Cookie: {}; Path=/",
        "https://store.example/x.png?X-Amz-Signature={}&X-Amz-Expires=60",
        "https://{}@example.com/v1",
        "postgresql://me:{}@db/judgements",
        '"password": "{}"',
        "client_secret is {}",
        "access_token={}",
        "GET /v1beta/models?key={} failed",
    ],
)
def test_values_of_secret_names_do_not_pass(text):
    assert SECRET in text.format(*[SECRET] * text.count("{}"))
    assert SECRET not in redacted(text.format(*[SECRET] * text.count("{}")))


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abc_DEF-123456",
        "gsk_0123456789abcdef",
        "hf_abcdefghijklmnop",
        "ghp_abcdefghijklmnop1234",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA-1234567890abcdefghij",
        "xoxb-123456789012-abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF_123",
    ],
)
def test_keys_of_known_shapes_do_not_pass_wherever_they_stand(secret):
    for text in (secret, f"Incorrect API key provided: {secret}.", f"[{secret}]", f"x={secret}&y"):
        assert secret not in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "completion tokens: 512, the token limit came first",
        "request key pair-17 lacks second",
        "unexpected token: '<' at line 1",
        "HTTP 404: the model `judge` does not exist",
        "no connection, ConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 8000)",
        "/tmp/judges/task-and-risk-adjusted/a.png: cannot be read",
        "max_tokens=1024 and max_completion_tokens: 12",
        "mailto:someone@example.com wrote",
    ],
)
def test_ordinary_words_stay(text):
    assert redacted(text) == text


# What texts of other programs are made of, ordinary words and pieces that the patterns turn on.
FRAGMENTS = st.one_of(
    st.sampled_from(
        [
            "token",
            "secret",
            "client_secret",
            "api_key",
            "password",
            "Bearer",
            "Basic",
            "Authorization",
            "Cookie",
            "is",
            "key",
            "sk-abcd1234",
            "http://",
            "https://u:",
            "***",
            "*",
            "ghp_abcdefghij",
            "AKIAABCDEFGHIJKL",
            "eyJhbGci.eyJzdWI",
            "%20",
            "abcd",
            "wxyz",
        ]
    ),
    st.sampled_from(list(" :=,;&?@/'\"\\<>[]{}\n")),
    st.text(max_size=6),
)
TEXTS = st.lists(FRAGMENTS, max_size=12).map("".join)
SECRETS = st.one_of(
    st.text(min_size=4, max_size=40),
    st.sampled_from(["secret", "token", "Bearer", "://x", ": ab", "****", "***a", "abab"]),
)


@given(secret=SECRETS, before=TEXTS, after=TEXTS)
def test_a_kept_secret_does_not_pass_in_any_spelling_or_surrounding(secret, before, after):
    redaction._secrets.clear()
    keep_secret(secret)
    for spelling in redaction.spellings(secret):
        for say in (redacted, without_kept_secrets):
            assert not any(kept in say(before + spelling + after) for kept in redaction.spellings(secret))


@given(name=st.sampled_from(["client_secret", "password", "access_token", "api-key"]), data=st.data())
def test_a_kept_word_within_a_name_leaves_the_name_to_its_value(name, data):
    """An endpoint's key may be a word of the name itself: the value beside it is hidden all the same."""
    redaction._secrets.clear()
    start = data.draw(st.integers(0, len(name) - 4))
    keep_secret(name[start : data.draw(st.integers(start + 4, len(name)))])
    for between in (": ", "=", " is ", "': '", '\\": \\"'):
        assert SECRET not in redacted(f"{name}{between}{SECRET}")


@given(
    words=st.lists(
        st.sampled_from(["the", "model", "was", "not", "found", "tokens", "left", "404", "risk-task", "max_keys"]),
        max_size=12,
    )
)
def test_a_text_without_secrets_is_unchanged(words):
    redaction._secrets.clear()
    keep_secret(SECRET)
    for between in (" ", ": ", ", ", "=", "/", "\n", "://"):
        assert redacted(between.join(words)) == without_kept_secrets(between.join(words)) == between.join(words)


@given(secret=SECRETS, text=TEXTS)
def test_redacting_twice_is_redacting_once(secret, text):
    redaction._secrets.clear()
    keep_secret(secret)
    for say in (redacted, without_kept_secrets):
        assert say(say(text)) == say(text)


def test_what_a_judge_wrote_loses_kept_secrets_alone(kept):
    keep_secret("sk-mine-123456")
    text = "The sign reads api_key=hello-world, token: painting; sk-mine-123456"
    assert without_kept_secrets(text) == "The sign reads api_key=hello-world, token: painting; ***"


def test_long_texts_take_linear_time():
    for text in ("a" * 200_000, "api-" * 50_000, "token: " * 30_000, "http://" * 30_000):
        redacted(text)


def test_redacting_twice_changes_nothing_more():
    for text in (
        "Bearer abcdef123456",
        "GET /v1?token=abcdefgh&x=1",
        '{"api_key": "0123456789abcdef"}',
        "key sk-proj-abcd1234",
    ):
        assert redacted(redacted(text)) == redacted(text) != text


def test_a_kept_secret_is_found_however_it_is_written(kept):
    secret = 'p"ss/w\u00f6rd 1'
    keep_secret(secret)
    for spelling in redaction.spellings(secret):
        assert without_kept_secrets(f"before {spelling} after") == f"before {redaction.HIDDEN} after"
