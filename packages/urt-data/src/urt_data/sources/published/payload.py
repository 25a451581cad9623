"""What a prompt of the official data asks about: the caption, or the question with its two answers.

The released shapes are those of UnifiedReward's prompts (1.0, Think v1, Think v2); our own wording ends in the same
lines.
"""

import re
from dataclasses import dataclass

TAGS = re.compile(r"<(?:image|video)>\s*")
CAPTIONS = (
    re.compile(r"^[ \t]*(?:Text )?Caption:[ \t]*(?P<caption>.+)\Z", re.S | re.M),
    re.compile(r"[Cc]aption for the generated (?:images|videos) is: (?P<caption>「.*」)\. ", re.S),
)
QUESTIONS = (
    re.compile(
        r"^[ \t]*Question:[ \t]*(?P<question>.+?)\n"
        r"[ \t]*(?:Answer 1|Response 1|The first response):[ \t]*(?P<first>.+?)\n"
        r"[ \t]*(?:Answer 2|Response 2|The second response):[ \t]*(?P<second>.+?)(?:\nPlease evaluate both .*)?\Z",
        re.S | re.M,
    ),
    re.compile(
        r"(?P<question>「.*?」).{0,200}?answers are:\s*(?:- )?Answer 1: (?P<first>.+?)\n"
        r"\s*(?:- )?Answer 2: (?P<second>.+?)\n\s*2\. ",
        re.S,
    ),
)
BRACKETS = (("[", "]"), ("「", "」"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """The variable part of a prompt.

    Payload(text="a red car")        Payload(text="How many cars?", first="Two.", second="Three.")
    """

    text: str
    first: str | None = None
    second: str | None = None

    @property
    def is_generation(self) -> bool:
        return self.first is None


def read_payload(prompt: str) -> Payload | None:
    """The payload of a pairwise prompt; None where there is none, as in pointwise data."""
    prompt = TAGS.sub("", prompt)
    for pattern in QUESTIONS:
        if match := pattern.search(prompt):
            return Payload(text=_bare(match["question"]), first=_bare(match["first"]), second=_bare(match["second"]))
    for pattern in CAPTIONS:
        if match := pattern.search(prompt):
            return Payload(text=_bare(match["caption"]))
    return None


def _bare(text: str) -> str:
    text = text.strip()
    for opening, closing in BRACKETS:
        if len(text) > 2 and text.startswith(opening) and text.endswith(closing):
            return text[1:-1]
    return text
