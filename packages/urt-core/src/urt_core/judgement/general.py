"""Reads what vision-language models write that were never trained on a dialect: bold, boxed or labelled verdicts, JSON.

Asked for by name (`Dialect("general")`). It knows more spellings than the dialects, and none of them weakens what a
verdict is: one sentence, label or number that names the better candidate. A negation, two verdicts or another noun are
failures here too.
"""

import re
from typing import Any

from urt_core.judgement.blocks import cut_blocks
from urt_core.judgement.final import final_answer
from urt_core.judgement.json_object import json_object
from urt_core.judgement.pairwise import with_reasoning, with_scores
from urt_core.judgement.result import FailureKind, Judgement, ParseFailure
from urt_core.judgement.signs import plain_signs
from urt_core.records import Preference, Task

_LONGEST = 400
"""Letters of a verdict with its reason."""
_THINKING = re.compile(r"<(/?)(?:thinking|reasoning|reason|thought|analysis)[ \t]*>", re.IGNORECASE)
_BOX_TOKEN = re.compile(r"<\|(?:begin|end)_of_box\|>")
_BOX = re.compile(r"\\boxed[ \t]*\{((?:[^{}]|\{[^{}]{0,200}\}){0,400})\}")
_LATEX = re.compile(r"\\(?:text|mathrm|mathbf|textbf)[ \t]*\{([^{}]{0,200})\}")
_CHOICE = re.compile(r"\[\[[ \t]*([^\[\]]{1,40}?)[ \t]*\]\]")
_HEADING = re.compile(
    r"(?:(?:the|my) )?(?:(?:overall|final) )?(?:judge?ment|verdict|answer|decision|winner|choice|conclusion|preference)"
    r"(?: is)? ?(?:[:=]|- ) ?",
)
_DEGREE = (
    r"(?:(?:slightly|clearly|much|far|significantly|marginally|somewhat|overall|generally|definitely|a bit|a little) )*"
)
_NOUN = r"(image|video|answer|response|picture|photo|clip)"
_VERDICT = re.compile(
    rf"(?:the )?{_NOUN} ?([12ab]) is {_DEGREE}(?:the )?(?:better|best|superior|preferred|winner)(?: one)?(?: overall)?"
    rf"(?: than (?:the )?{_NOUN} ?([12ab]))?(?P<reason>,? (?:because|since|due to|as (?:it|its|the)) .*)?",
)
_MENTION = re.compile(
    rf"{_NOUN} ?([12ab]) (?:is|being|was|looks|seems|appears) {_DEGREE}"
    r"(?:the )?(?:better|best|superior|preferred|winner)"
)
_DENIAL = re.compile(r"(?:\b(?:not|no|never|hardly|neither)|n't) (?:\w+ ){0,2}(?:better|best|superior|preferred)")
_LABEL = re.compile(rf"(?:the )?(?:{_NOUN} ?)?(?:([12])|([ab]))(?:(?: is)? better| wins)?")
_TIE = re.compile(rf"tie|both {_NOUN}s are equally good|(?:it is|it's) a tie|equally good")
_SAME = {"picture": "image", "photo": "image", "clip": "video", "response": "answer"}
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[a-z]{0,20}[ \t]*$", re.MULTILINE | re.IGNORECASE)
_TAG = re.compile(r"</?(?:b|i|em|strong|u|p|span|verdict|final|conclusion|result)[ \t]*/?>|<br[ \t]*/?>", re.IGNORECASE)
_MARKS = re.compile(r"^[ \t]{0,3}(?:#{1,6}|>|[-+\u2022])[ \t]+|\$|\\[()\[\]]", re.MULTILINE)
"""Headings, quotes and items of Markdown, and the signs that open and close formulas."""
_LEAD = re.compile(
    r"(?:(?:so|thus|hence|therefore|overall|finally|in conclusion|in summary|to conclude|all in all),? )"
)
_SIGNS = "*_\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb[](){}.! \u2705\u2714\ufe0f\u2b50\U0001f3c6\U0001f449"
_JSON_KEYS = ("winner", "better image", "better video", "better answer", "better", "best", "preferred", "preference",
              "verdict", "judgement", "judgment", "overall judgement", "overall judgment", "choice", "chosen")  # fmt: skip
_RANKS = ("rank", "ranking", "ranks")


def parse_general(text: str, task: Task) -> Judgement | ParseFailure:
    """Reads a verdict in any of the spellings above; scores where they are written as in the dialects."""
    noun = Task(task).noun
    text = _THINKING.sub(r"<\1think>", _BOX_TOKEN.sub(" ", plain_signs(text)))
    text = _FENCE.sub("", _TAG.sub(" ", text))
    if not text.strip():
        return ParseFailure.at(FailureKind.EMPTY)
    blocks = cut_blocks(text)
    if blocks.answers or blocks.is_open or blocks.num_inside:
        verdict = final_answer(blocks, lambda content: _read(content, noun=noun))
        if isinstance(verdict, ParseFailure):
            return verdict
        return with_reasoning(verdict, blocks, noun=noun)
    # What a model thought before it answered may weigh both sides; its answer is what stands behind it.
    prose = text[text.lower().rfind("</think>") + len("</think>") :] if "</think>" in text.lower() else text
    verdict = _read_prose(prose, noun=noun)
    if isinstance(verdict, FailureKind):
        return ParseFailure.at(verdict, text)
    return with_scores(verdict, text.strip(), noun=noun)[0]


def _read_prose(text: str, *, noun: str) -> Preference | FailureKind:
    """The verdict of a text without answer tags: JSON, the last box, or its last line."""
    if (found := json_object(text)) is not None:
        return _read_json(found, noun=noun)
    marked = [*_BOX.finditer(text), *_CHOICE.finditer(text)]
    if marked:
        readings = {_read(mark[1], noun=noun, is_marked=True) for mark in marked}
        return readings.pop() if len(readings) == 1 else FailureKind.CONFLICTING_ANSWERS
    lines = text.strip().split("\n")
    verdict = _read(lines[-1], noun=noun)
    if verdict is FailureKind.UNREADABLE_ANSWER:
        return FailureKind.NO_ANSWER
    if isinstance(verdict, Preference):
        for line in lines[:-1]:
            stated = _read(line, noun=noun) if "better" in line.lower() else verdict
            if isinstance(stated, Preference) and stated is not verdict:
                return FailureKind.CONFLICTING_ANSWERS
    return verdict


def _read(content: str, *, noun: str, is_marked: bool = False, names_verdict: bool = False) -> Preference | FailureKind:
    """What the whole of `content` states, signs and a label in front of it aside."""
    content = content.strip()
    if len(content) > _LONGEST:
        return FailureKind.UNREADABLE_ANSWER
    if (found := json_object(content)) is not None:
        return _read_json(found, noun=noun)
    content = _MARKS.sub("", _FENCE.sub("", content)).strip()
    if box := _BOX.fullmatch(content.strip(_SIGNS.replace("}", "").replace("{", ""))):
        content, is_marked = box[1], True
    elif choice := _CHOICE.fullmatch(content):
        content, is_marked = choice[1], True
    content = _LATEX.sub(r"\1", content)
    plain = " ".join(content.replace("*", " ").replace("`", " ").lower().split()).strip(_SIGNS)
    if lead := _LEAD.match(plain):
        plain = plain[lead.end() :].strip(_SIGNS)
    heading = _HEADING.match(plain)
    plain = plain[heading.end() :].strip(_SIGNS) if heading else plain
    if tie := _TIE.fullmatch(plain):
        return _with_noun(Preference.TIE, tie[1], noun)
    if sentence := _VERDICT.fullmatch(plain):
        return _read_sentence(sentence, noun=noun)
    label = _LABEL.fullmatch(plain)
    # A bare letter counts where something marks it. A bare number may be what was asked ("Answer: 2", a boxed sum), so
    # it counts only where its mark speaks of a verdict.
    marked = names_verdict or (heading is not None and "answer" not in heading[0])
    if label and (label[1] or marked or (label[3] and (is_marked or heading))):
        return _with_noun(_preference(label[2] or label[3]), label[1], noun)
    return FailureKind.UNREADABLE_ANSWER


def _read_sentence(sentence: re.Match[str], *, noun: str) -> Preference | FailureKind:
    verdict = _preference(sentence[2])
    if sentence[4] and _preference(sentence[4]) is verdict:
        return FailureKind.UNREADABLE_ANSWER
    reason = sentence["reason"] or ""
    if _DENIAL.search(reason) or any(_preference(other[2]) is not verdict for other in _MENTION.finditer(reason)):
        return FailureKind.CONFLICTING_ANSWERS
    return _with_noun(verdict, sentence[1], noun)


def _preference(label: str) -> Preference:
    return Preference.FIRST if label in ("1", "a") else Preference.SECOND


def _with_noun(verdict: Preference, found: str | None, noun: str) -> Preference | FailureKind:
    return verdict if found is None or _SAME.get(found, found) == noun.lower() else FailureKind.WRONG_NOUN


def _read_json(value: dict[str, Any], *, noun: str) -> Preference | FailureKind:
    """The better candidate by its key: {"winner": "Image 2"}, {"Better Image": 2}, {"rank": [2, 1]} (the best
    first)."""
    readings: set[Preference | FailureKind] = set()
    for key, stated in value.items():
        name = key.lower().replace("_", " ").strip()
        if name in _RANKS and isinstance(stated, list):
            order = [str(place) for place in stated]
            readings.add(_preference(order[0]) if sorted(order) == ["1", "2"] else FailureKind.UNREADABLE_ANSWER)
        elif name in _JSON_KEYS and isinstance(stated, str | int) and not isinstance(stated, bool):
            readings.add(_read(str(stated), noun=noun, names_verdict=True))
    if not readings:
        return FailureKind.NO_ANSWER
    return readings.pop() if len(readings) == 1 else FailureKind.CONFLICTING_ANSWERS
