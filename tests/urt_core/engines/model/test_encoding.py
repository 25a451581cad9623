"""What the chat template leaves open, and what it may not decide."""

from typing import Any

import pytest

from urt_core import Media, MediaKind, Prompt
from urt_core.engines.model.encoding import chat_text

PICTURE = Media(kind=MediaKind.IMAGE, files=("a.png",))


class Template:
    """A tokenizer's chat template: the turns, then the assistant's, which some open for it."""

    def __init__(self, opening: str) -> None:
        self.opening = opening

    def apply_chat_template(self, messages: list[dict[str, Any]], **settings: Any) -> str:
        assert settings == {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
        parts = [part.get("text", "<image>") for message in messages for part in message["content"]]
        return "user\n" + "".join(parts) + "\nassistant\n" + self.opening


@pytest.mark.parametrize(
    ("opening", "left"),
    [
        ("", ""),
        ("<think>", ""),
        ("<think>\n", ""),
        (
            "<think>\n\n</think>\n\n",
            "<think>\n\n</think>\n\n",
        ),  # told not to think: the block is closed, the answer its own
    ],
)
def test_the_judge_opens_its_reasoning_itself(opening: str, left: str) -> None:
    prompt = Prompt(parts=(PICTURE, "Is <think> a tag? <think>"))
    text = chat_text(Template(opening), prompt, num_frames=[1])
    assert text == "user\n<image>Is <think> a tag? <think>\nassistant\n" + left
