"""The sentences that are a verdict, and nothing but them."""

import re

from urt_core.judgement.result import FailureKind
from urt_core.records import Preference


def _sentences() -> dict[str, tuple[str, Preference]]:
    sentences = {}
    for noun in ("Image", "Video", "Answer"):
        word = noun.lower()
        for number, other, preference in (("1", "2", Preference.FIRST), ("2", "1", Preference.SECOND)):
            sentences[f"{word} {number} is better"] = (noun, preference)
            sentences[f"{word} {number} is better than {word} {other}"] = (noun, preference)
        sentences[f"both {word}s are equally good"] = (noun, Preference.TIE)
    return sentences


_SENTENCES = _sentences()
"""Sentence in lower case without full stop -> the noun it uses and what it says."""
_LONGEST = 120
_HEADING = re.compile(
    r"[*#\s]*(?:overall judge?ment|final judge?ment|final verdict|verdict|judge?ment|answer)[*\s]*:[*\s]*",
    re.IGNORECASE,
)
_PHRASE = (
    r"((?:image|video|answer) [12] is better(?: than (?:image|video|answer) [12])?"
    r"|both (?:image|video|answer)s are equally good)"
)
_MENTION = re.compile(_PHRASE, re.IGNORECASE)
_OPENING = re.compile(rf"[* \t]{{0,8}}+{_PHRASE}[* \t]{{0,8}}+(?:\.|$)", re.IGNORECASE)
_CLAIM = re.compile(
    rf"(?:^|(?<=[.!?:\"]))[*#> \t]{{0,8}}+{_PHRASE}[* \t]{{0,8}}+(?:[.!,;\"]|$)", re.IGNORECASE | re.MULTILINE
)
"""A phrase that starts where a sentence can start and ends where a clause can end."""


def read_verdict(content: str, *, noun: str) -> Preference | FailureKind:
    """What the whole of `content` states. Letter case, white space and one final full stop are free, nothing else."""
    if len(content) > _LONGEST and len(content := content.strip()) > _LONGEST:
        return FailureKind.UNREADABLE_ANSWER
    found = _SENTENCES.get(" ".join(content.lower().split()).removesuffix("."))
    if found is None:
        return FailureKind.UNREADABLE_ANSWER
    return found[1] if found[0] == noun else FailureKind.WRONG_NOUN


def read_direct_answer(text: str, *, noun: str) -> Preference | FailureKind:
    """The verdict of a direct answer: its last line, or the sentence it opens with.

    In front of a verdict line, no other sentence may state another verdict. Behind an opening sentence, no other
    verdict may be mentioned at all: "Image 1 is better. Still, Image 2 is better in colour" decides nothing.
    """
    lines = text.strip().split("\n")
    heading = _HEADING.match(lines[-1])
    verdict = read_verdict(lines[-1][heading.end() :] if heading else lines[-1], noun=noun)
    others = _CLAIM
    if not isinstance(verdict, Preference):
        opening = _OPENING.match(lines[0])
        if opening is None:
            is_prose = len(lines) > 1 or len(text) > _LONGEST
            return FailureKind.NO_ANSWER if is_prose and verdict is FailureKind.UNREADABLE_ANSWER else verdict
        verdict, others = read_verdict(opening[1], noun=noun), _MENTION
    if any(read_verdict(other[1], noun=noun) is not verdict for other in others.finditer(text)):
        return FailureKind.CONFLICTING_ANSWERS
    return verdict
