"""What is wrong with one request, as the completion that says so: its own row, and nobody else's."""

from urt_core.engines import Completion, FinishReason
from urt_core.errors import MediaError, PromptError, RecordError
from urt_core.redaction import redacted

OWN_FAULTS = (PromptError, MediaError, RecordError)
"""What a request can be wrong by itself: with one of these its batch goes on."""


class SurrogateError(RecordError):
    """A text that can't be written as UTF-8. Half an emoji in a caption comes from data, and is no wrong call."""


def check_text(**texts: object) -> None:
    for name, text in texts.items():
        if isinstance(text, str) and not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            raise SurrogateError(f"{name} holds a lone surrogate; decode it as UTF-8 before it comes here")


def faulty(error: Exception) -> Completion:
    reason = FinishReason.BAD_MEDIA if isinstance(error, MediaError) else FinishReason.BAD_RECORD
    return Completion(text="", finish_reason=reason, detail=redacted(str(error)))
