"""The sentences that are a verdict, and nothing but them."""

import re

from urt_core.records import Preference, Task

_NOUNS = ("image", "video", "answer")


def _sentences() -> dict[str, tuple[str, Preference]]:
    sentences = {}
    for noun in _NOUNS:
        for number, other, preference in (("1", "2", Preference.FIRST), ("2", "1", Preference.SECOND)):
            better = f"{noun} {number} is better"
            sentences[better] = (noun, preference)
            sentences[f"{better} than {noun} {other}"] = (noun, preference)
        sentences[f"both {noun}s are equally good"] = (noun, Preference.TIE)
    return sentences


_SENTENCES = _sentences()
"""Sentence in lower case without full stop -> the noun it uses and what it says."""
_LONGEST = 120
_HEADING = re.compile(
    r"[*#\s]*(?:overall judge?ment|final judge?ment|final verdict|verdict|judge?ment|answer)[*\s]*:[*\s]*",
    re.IGNORECASE,
)
_CLAIM = re.compile(
    r"(?:^|(?<=[.!?:*\"]))[*\s]{0,8}"
    r"((?:image|video|answer) [12] is better(?: than (?:image|video|answer) [12])?|both (?:image|video|answer)s are equally good)"
    r"[*\s]{0,8}(?:[.!,;]|$)",
    re.IGNORECASE | re.MULTILINE,
)


def read_verdict(content: str, *, task: Task) -> Preference | str:
    """What the whole of `content` states, or the kind of failure. Letter case, white space and one final full stop are
    free; nothing else is."""
    if len(content) > _LONGEST:
        content = content.strip()
    if len(content) > _LONGEST:
        return "unreadable_answer"
    sentence = " ".join(content.lower().split()).removesuffix(".")
    if sentence not in _SENTENCES:
        return "unreadable_answer"
    noun, preference = _SENTENCES[sentence]
    return preference if noun == task.noun.lower() else "wrong_noun"


def read_direct_answer(text: str, *, task: Task) -> Preference | str:
    """The verdict of a direct answer: its last line, or the sentence it opens with. Each further verdict sentence in the
    text has to say the same."""
    lines = text.strip().split("\n")
    last = _HEADING.sub("", lines[-1], count=1) if _HEADING.match(lines[-1]) else lines[-1]
    verdict = read_verdict(last, task=task)
    if not isinstance(verdict, Preference):
        opening = _CLAIM.match(lines[0])
        if opening is None:
            return verdict if len(lines) == 1 or verdict == "wrong_noun" else "no_answer"
        verdict = read_verdict(opening[1], task=task)
    claims = {read_verdict(claim[1], task=task) for claim in _CLAIM.finditer(text)}
    return "conflicting_answers" if claims - {verdict} else verdict
