"""What is wrong with one request, as its own completion."""

import pytest

from urt_core.engines import FinishReason
from urt_core.errors import MediaError, PromptError, RecordError
from urt_core.judging.faults import OWN_FAULTS, SurrogateError, check_text, faulty


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MediaError("first is cut off"), FinishReason.BAD_MEDIA),
        (PromptError("parts must be non-empty"), FinishReason.BAD_RECORD),
        (RecordError("no text"), FinishReason.BAD_RECORD),
        (SurrogateError("half an emoji"), FinishReason.BAD_RECORD),
    ],
)
def test_a_fault_is_a_completion_without_text_that_says_why(error: Exception, reason: FinishReason) -> None:
    assert isinstance(error, OWN_FAULTS)
    completion = faulty(error)
    assert (completion.text, completion.finish_reason, completion.detail) == ("", reason, str(error))


def test_a_secret_in_an_error_is_not_told() -> None:
    assert "sk-live" not in faulty(PromptError("https://user:sk-live-1234567890@host/ refused")).detail


def test_a_lone_surrogate_is_named_by_its_argument() -> None:
    check_text(text="café 😀", first="x", media=object())
    with pytest.raises(SurrogateError, match="second holds a lone surrogate"):
        check_text(text="café", second="half \ud83d")
