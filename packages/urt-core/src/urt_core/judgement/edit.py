"""Reads UnifiedReward-Edit's comparison of two edits of one picture: `Edited image 2 is better`, alone or in answer
tags."""

import re

from urt_core.judgement.blocks import cut_blocks
from urt_core.judgement.final import final_answer
from urt_core.judgement.result import FailureKind, Judgement, ParseFailure
from urt_core.judgement.signs import plain_signs
from urt_core.records import Preference, Task

_VERDICT = re.compile(r"edited image ([12]) is better(?: than edited image ([12]))?\.?")
_MENTION = re.compile(r"edited image ([12]) is better", re.IGNORECASE)
_LONGEST = 120


def parse_edit(text: str, task: Task) -> Judgement | ParseFailure:
    """The verdict of a whole text, of its last line, or of its answer block."""
    del task  # of one task only
    text = plain_signs(text)
    if not text.strip():
        return ParseFailure.at(FailureKind.EMPTY)
    blocks = cut_blocks(text)
    if blocks.found_tags:
        verdict = final_answer(blocks, _read)
        return (
            verdict
            if isinstance(verdict, ParseFailure)
            else Judgement(verdict=verdict, scores={}, reasoning=blocks.reasoning)
        )
    lines = text.strip().split("\n")
    verdict = _read(lines[-1])
    if isinstance(verdict, FailureKind):
        return ParseFailure.at(FailureKind.NO_ANSWER, text)
    if any(_preference(other[1]) is not verdict for other in _MENTION.finditer(text)):
        return ParseFailure.at(FailureKind.CONFLICTING_ANSWERS, text)
    return Judgement(verdict=verdict, scores={}, reasoning="\n".join(lines[:-1]).strip())


def _read(content: str) -> Preference | FailureKind:
    found = _VERDICT.fullmatch(" ".join(content.lower().split())) if len(content) <= _LONGEST else None
    if found is None or found[1] == found[2]:
        return FailureKind.UNREADABLE_ANSWER
    return _preference(found[1])


def _preference(number: str) -> Preference:
    return Preference.FIRST if number == "1" else Preference.SECOND
