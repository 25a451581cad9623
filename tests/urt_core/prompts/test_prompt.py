"""What a prompt may hold."""

import pytest

from urt_core import (
    Media,
    MediaKind,
    Prompt,
)
from urt_core.errors import PromptError


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
