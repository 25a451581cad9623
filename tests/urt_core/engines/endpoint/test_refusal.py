"""An endpoint that says no, told in one line with the setting that helps."""

import json

import pytest

from urt_core import FinishReason, SamplingParams
from urt_core.engines.endpoint.profile import Profile
from urt_core.engines.endpoint.refusal import read_refusal
from urt_core.engines.endpoint.transport import Reply

PLAIN = Profile(name="openai")
SEVERAL = SamplingParams(max_tokens=8, num_completions=4, temperature=1.0)


def told(
    status: int, body: object, *, profile: Profile = PLAIN, url: str = "https://host/v1", sent=SEVERAL, **headers: str
):
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return read_refusal(Reply(status, headers, content), sent=sent, profile=profile, base_url=url)


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        ({"error": {"message": "no", "param": "top_p"}}, "leave_out=['top_p'] does not send it"),
        ({"error": {"message": "`seed` is not supported"}}, "leave_out=['seed'] does not send it"),
        ("Unsupported parameter: max_tokens", "max_tokens_name='max_completion_tokens'"),
        ("logprobs is not available for this model", "leave_out=['logprobs'] does not send it"),
    ],
)
def test_a_field_that_is_refused_is_named_with_its_remedy(body: object, advice: str) -> None:
    found = told(400, body)
    assert found.reason is FinishReason.HTTP_ERROR
    assert found.detail.startswith("HTTP 400: ")
    assert advice in found.detail


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("'n' is not supported", True),
        ("n must be 1", True),
        ("n > 1 is not allowed", True),
        ("in n words: no", False),
        ("a reason not for n", False),
    ],
)
def test_one_letter_is_a_name_where_it_is_quoted_or_limited(text: str, refuses: bool) -> None:
    assert told(400, text).refuses_n == refuses
    assert not told(400, text, sent=SamplingParams(max_tokens=8)).refuses_n
    assert not told(500, text).refuses_n


def test_a_field_that_is_not_sent_is_not_what_is_refused() -> None:
    assert "leave_out" not in told(400, "seed is odd", profile=Profile(name="own", leave_out=("seed",))).detail


@pytest.mark.parametrize("word", ["content_filter", "ResponsibleAIPolicyViolation"])
def test_a_filter_is_a_refusal_and_no_error(word: str) -> None:
    found = told(400, {"error": {"code": word}})
    assert found.reason is FinishReason.REFUSED
    assert told(500, {"error": {"code": word}}).reason is FinishReason.HTTP_ERROR


@pytest.mark.parametrize(
    ("url", "helps"), [("https://host", True), ("https://host/v1", False), ("https://host/v1beta", False)]
)
def test_not_found_asks_for_the_version_where_the_address_has_none(url: str, helps: bool) -> None:
    assert ("does base_url lack its /v1?" in told(404, "no such page", url=url).detail) == helps


def test_a_redirect_is_named_and_not_followed() -> None:
    detail = told(307, "", Location="https://elsewhere/v1").detail
    assert detail == (
        "HTTP 307: a redirect to https://elsewhere/v1 is not followed; if it is meant, give that address as base_url"
    )


def test_what_is_shown_is_one_short_line_without_secrets() -> None:
    found = told(500, "Traceback\n  key sk-live-abcdefghijklmnop\n" + "x" * 9000)
    assert "\n" not in found.detail
    assert len(found.detail) <= 220
    assert "sk-live" not in found.text
    assert len(found.text) <= 2000


@pytest.mark.parametrize("body", ["", "[]", '{"error": []}', '{"error": {"param": {}}}', "\ufffd"])
def test_a_body_that_is_no_error_of_openai_is_read_as_text(body: str) -> None:
    assert told(422, body).detail.startswith("HTTP 422: ")
