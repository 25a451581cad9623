"""What a prompt may hold, and placeholders against media."""

import pytest

from urt_core import (
    Media,
    MediaKind,
    Prompt,
)
from urt_core.errors import PromptError
from urt_core.prompts import require_placeholders


def test_an_impossible_prompt_is_refused() -> None:
    image = Media(kind=MediaKind.IMAGE, files=("a",))
    for parts in ((), ("",), ("a", ""), (1,)):
        with pytest.raises(PromptError, match="non-empty"):
            Prompt(parts=parts)  # pyright: ignore[reportArgumentType]
    for token in ("<|image_pad|>", "<|im_start|>", "<image>", "</tool_call>"):
        with pytest.raises(PromptError, match="special token"):
            Prompt(parts=("look: " + token, image))
    prompt = Prompt(parts=("a", image, "b"))
    assert prompt.text == "ab"
    assert prompt.media == (image,)


def test_placeholders_must_equal_the_media() -> None:
    chat = "<|im_start|>user\n<|image_pad|> and <|image_pad|><|im_end|>"
    require_placeholders(chat, placeholder="<|image_pad|>", num_media=2)
    with pytest.raises(PromptError, match=r"2 times '<\|image_pad\|>' for 1 media"):
        require_placeholders(chat, placeholder="<|image_pad|>", num_media=1)
