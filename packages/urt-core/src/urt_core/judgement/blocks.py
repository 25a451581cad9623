"""Cuts a completion into reasoning and answers, in one pass over its tags."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_TAG = re.compile(r"<(/?)(think|answer)[ \t]*>", re.IGNORECASE)


@dataclass(slots=True)
class Blocks:
    """Blocks(found_tags=True, reasoning="1. Semantic ...", answers=["Image 1 is better"], tail="")"""

    found_tags: bool = False
    reasoning: str = ""
    answers: list[str] = field(default_factory=list)
    """Contents of the answer blocks outside the reasoning, in order. No tag stands inside one."""
    doubtful: list[str] = field(default_factory=list)
    """Answer blocks in front of a `</think>` whose `<think>` is missing: they may contradict, but never decide."""
    num_inside: int = 0
    """Answer blocks inside the reasoning."""
    is_open: bool = False
    """A think or answer block was opened and never closed."""
    tail: str = ""
    """What stands behind the last answer."""


def cut_blocks(text: str) -> Blocks:
    """Think blocks nest, so a quoted `<think>` cannot end the reasoning early; a quoted `</think>` can, and then a
    quoted answer behind it is one more answer that has to agree with the final one.

    A model that opens its reasoning twice and closes it once is read as if it had opened it once, where that can't be a
    quotation that was cut off: nothing stands behind the answer, and no opening tag follows a quotation mark.
    """
    blocks = _cut(text, _TAG.finditer(text))
    if not blocks.is_open or blocks.answers or not blocks.num_inside:
        return blocks
    tags = list(_TAG.finditer(text))
    thinks = [tag for tag in tags if tag[2].lower() == "think"]
    opens = [tag for tag in thinks if not tag[1]]
    repeated = set(opens[1:]) if thinks[-1][1] and opens else set()
    if any(_before(text, tag) in _QUOTES for tag in repeated):
        return blocks
    once = _cut(text, [tag for tag in tags if tag not in repeated])
    return blocks if once.is_open or once.tail.strip() or len(once.answers) != 1 else once


def _before(text: str, tag: re.Match[str]) -> str:
    """The sign in front of a tag in its line."""
    return text[max(0, tag.start() - 8) : tag.start()].rstrip(" \t")[-1:]


_QUOTES = tuple("\"'`([:\u201c\u2018\u00ab")


def _cut(text: str, tags: Iterable[re.Match[str]]) -> Blocks:
    blocks = Blocks()
    reasoning: list[str] = []
    depth = think_start = answer_tag = answer_end = first_answer = 0
    answer_start: int | None = None
    seen_think = False
    for tag in tags:
        blocks.found_tags = True
        opens, is_answer = not tag[1], tag[2].lower() == "answer"
        if is_answer and opens:
            answer_tag, answer_start = tag.span()
        elif is_answer and answer_start is not None:
            if depth:
                blocks.num_inside += 1
            else:
                if not blocks.answers:
                    first_answer = answer_tag
                blocks.answers.append(text[answer_start : tag.start()])
                answer_end = tag.end()
            answer_start = None
        elif not is_answer:
            answer_start = None
            if opens:
                if depth == 0:
                    think_start = tag.end()
                depth, seen_think = depth + 1, True
            elif depth:
                depth -= 1
                if depth == 0:
                    reasoning.append(text[think_start : tag.start()])
            elif not seen_think:
                # Chat templates that open the think block in the prompt leave a completion without `<think>`.
                reasoning.append(text[: tag.start()])
                blocks.doubtful, blocks.answers, seen_think = blocks.answers, [], True
    if depth:
        reasoning.append(text[think_start:])
    elif not seen_think:
        reasoning.append(text[:first_answer])
    blocks.is_open = depth > 0 or answer_start is not None
    blocks.reasoning = "\n".join(reasoning).strip()
    blocks.tail = text[answer_end:] if blocks.answers else ""
    return blocks
