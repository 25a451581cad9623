"""What UnifiedReward's prompts ask about, read out of them."""

import pytest

from urt_core.prompts import Dialect, render
from urt_core.records import Media, MediaKind, PreferenceRecord, Task
from urt_data.sources.published.payload import Payload, read_payload

IMAGE = Media(kind=MediaKind.IMAGE, files=("a.png",))

VIDEO = Media(kind=MediaKind.VIDEO, files=("a.mp4",))


@pytest.mark.parametrize(
    ("prompt", "payload"),
    [
        ("<image>\n<image>\n... provided as follows:\nText Caption: [a red car]", Payload(text="a red car")),
        ("...\nText Caption: [a sign that says [open]]", Payload(text="a sign that says [open]")),
        ("...\nText Caption: [two\nlines]\n", Payload(text="two\nlines")),
        (
            "1. The caption for the generated images is: 「a 「quoted」 cup」. You must evaluate",
            Payload(text="a 「quoted」 cup"),
        ),
        ("1. The caption for the generated videos is: 「a kite」. The provided frames", Payload(text="a kite")),
        ("...\nQuestion: [Why?]\nAnswer 1: [So.]\nAnswer 2: [No.]", Payload(text="Why?", first="So.", second="No.")),
        (
            "...\nQuestion: Why?\nAnswer 1: So.\nAnd so.\nAnswer 2: No.\n",
            Payload(text="Why?", first="So.\nAnd so.", second="No."),
        ),
        (
            "better\nQuestion: Why?\nAnswer 1: So.\nAnswer 2: No.\nPlease evaluate both answers based on the following criteria:\n1.",
            Payload(text="Why?", first="So.", second="No."),
        ),
        (
            "Question: [Why?]\nThe first response: [So.]\nThe second response: [No.]",
            Payload(text="Why?", first="So.", second="No."),
        ),
        (
            "the question is: 「Why?」. The image is provided. The two candidate answers are:\n        Answer 1: 「So.」\nAnswer 2: 「No.」\n\n2. You must",
            Payload(text="Why?", first="So.", second="No."),
        ),
        (
            "asked: 「Why?」. The provided answers are:\n        - Answer 1: So.\n        - Answer 2: No.\n\n        2. You must evaluate",
            Payload(text="Why?", first="So.", second="No."),
        ),
        ("Question: [Why?]\nResponse: [So.]", None),
        ("Tell me about this image.", None),
    ],
)
def test_payload_of_the_released_prompts(prompt: str, payload: Payload | None) -> None:
    assert read_payload(prompt) == payload


@pytest.mark.parametrize("dialect", list(Dialect))
def test_payload_of_our_own_prompts(dialect: Dialect) -> None:
    pair = PreferenceRecord(key="k", task=Task.IMAGE_GENERATION, text="a red car\nby night", first=IMAGE, second=IMAGE)
    assert read_payload(render(pair, dialect).text) == Payload(text="a red car\nby night")
    answers = PreferenceRecord(
        key="k", task=Task.VIDEO_UNDERSTANDING, text="Why?", first="So.\nYes.", second="No.", media=VIDEO
    )
    assert read_payload(render(answers, dialect).text) == Payload(text="Why?", first="So.\nYes.", second="No.")
