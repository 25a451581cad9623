"""The only parser of judgements: a model's text becomes a `Judgement` or a `ParseFailure`, never a guess.

The verdict is read from the last `<answer>` outside `<think>` (chain of thought) or from a sentence of its own (direct
answer), and from nothing else: scores and totals are read beside it and never decide. The shapes are those of the
released UnifiedReward weights; `_read_scores` lists the variants. Everything here is linear in the length of the text.
"""

import re
from dataclasses import dataclass

from urt_core.prompts.prompt import Dialect
from urt_core.records import Preference, Task

FAILURE_KINDS: dict[str, str] = {
    "empty": "the text is empty",
    "no_answer": "there is no answer block, and no sentence of its own that gives a verdict",
    "truncated": "a think or answer block was opened and never closed",
    "answer_in_reasoning": "the only answer blocks are part of the reasoning",
    "unreadable_answer": "the final answer is no verdict",
    "wrong_noun": "the final answer names another kind of candidate than the task has",
    "tie_not_allowed": "the final answer is a tie, which a chain-of-thought dialect does not have",
    "conflicting_answers": "the text gives two different final answers",
}
"""Every `ParseFailure.kind` and what it means."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A completion that was read.

    Judgement(
        verdict=Preference.SECOND,
        scores={"semantic consistency": (7.0, 9.0), "aesthetics": (8.0, 8.0), "authenticity": (6.0, 8.0)},
        totals=(21.0, 25.0), sums_consistent=True, answer_matches_totals=True, reasoning="1. Semantic consistency: ...",
    )
    """

    verdict: Preference
    scores: dict[str, tuple[float, float]]
    """Lower-case dimension -> scores of candidates 1 and 2, on the scale 1 to 10; unreadable ones are left out."""
    totals: tuple[float, float] | None = None
    """The totals as stated, of candidates 1 and 2."""
    sums_consistent: bool | None = None
    """Whether stated sums add up and repeat the scores; None where totals or scores are missing."""
    answer_matches_totals: bool | None = None
    """Whether the verdict names the candidate with the higher stated total; None without totals."""
    reasoning: str = ""
    """What the think block says; the text before the verdict in a direct answer."""

    @property
    def margin(self) -> float | None:
        """Stated total of candidate 1 less that of candidate 2."""
        return self.totals[0] - self.totals[1] if self.totals else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParseFailure:
    """A completion that cannot be read: ParseFailure(kind="truncated", excerpt="... Total score:\\nImage 1: 8+7")."""

    kind: str
    """One of `FAILURE_KINDS`."""
    excerpt: str = ""
    """The part of the text that shows why, at most 160 characters."""


def parse_judgement(text: str, *, task: Task, dialect: Dialect | None = None) -> Judgement | ParseFailure:
    """Reads a judgement. Never raises on any string, and never makes a verdict of a text that does not state one.

    Without a dialect, a text with think or answer tags is read as chain of thought and any other as a direct answer.
    """
    if not text.isascii():
        text = text.translate(_FULL_WIDTH)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return ParseFailure(kind="empty")
    blocks = _cut_blocks(text)
    if blocks.found_tags:
        return _read_tagged(blocks, task=task, ties=dialect is Dialect.DIRECT)
    if dialect in (Dialect.V1, Dialect.V2):
        return _failure("no_answer", text)
    return _read_sentence(text, task=task)


# --- Text into blocks ------------------------------------------------------------------------------------------------

_FULL_WIDTH = {0xFF01 + i: 0x21 + i for i in range(94) if chr(0x21 + i) not in "<>"} | {
    ord("。"): ".", ord("．"): ".", ord("　"): " ", ord("、"): ",", ord("＋"): "+", ord("–"): "-", ord("—"): "-", ord("−"): "-",
    ord("•"): "*", ord("·"): "*", ord("\u00a0"): " ", ord("【"): "[", ord("】"): "]", ord("："): ":", ord("／"): "/",
}  # fmt: skip
"""Full-width and typographic signs as ASCII. Angle brackets stay: only ASCII brackets make a tag."""

_TAG = re.compile(r"<(/?)(think|answer)[ \t]*>", re.IGNORECASE)


@dataclass(slots=True)
class _Blocks:
    found_tags: bool
    reasoning: str
    final: list[str]
    """Contents of the answer blocks that may be final, in order."""
    doubtful: list[str]
    """Contents of answer blocks in front of a `</think>` whose `<think>` is missing: they count against, not for."""
    num_inside: int
    """Answer blocks inside a think block."""
    open_tag: str | None
    """What was opened last and never closed."""


def _cut_blocks(text: str) -> _Blocks:
    """One pass over the tags. Think blocks nest; an answer block is well formed if no tag stands inside it."""
    blocks = _Blocks(found_tags=False, reasoning="", final=[], doubtful=[], num_inside=0, open_tag=None)
    reasoning: list[str] = []
    depth, think_start, answer_start, seen_think = 0, 0, -1, False
    for tag in _TAG.finditer(text):
        blocks.found_tags = True
        closing, name = tag[1], tag[2].lower()
        if name == "answer":
            if not closing:
                answer_start = tag.end()
            elif answer_start >= 0:
                content = text[answer_start : tag.start()]
                answer_start = -1
                if depth:
                    blocks.num_inside += 1
                else:
                    blocks.final.append(content)
            continue
        answer_start = -1
        if not closing:
            if depth == 0:
                think_start = tag.end()
            depth, seen_think = depth + 1, True
        elif depth:
            depth -= 1
            if depth == 0:
                reasoning.append(text[think_start : tag.start()])
        elif not seen_think:
            # Chat templates that open the think block in the prompt leave the text without `<think>`.
            reasoning.append(text[: tag.start()])
            blocks.doubtful, blocks.final, seen_think = blocks.final, [], True
    if depth:
        reasoning.append(text[think_start:])
        blocks.open_tag = "think"
    elif answer_start >= 0:
        blocks.open_tag = "answer"
    blocks.reasoning = "\n".join(reasoning).strip()
    return blocks


# --- The verdict -----------------------------------------------------------------------------------------------------

_VERDICT = re.compile(
    r"(image|video|answer) ?([12]) is better(?: than (image|video|answer) ?([12]))?\.?", re.IGNORECASE
)
_TIE = re.compile(r"both (image|video|answer)s are equally good\.?", re.IGNORECASE)
_LONGEST_VERDICT = 120


def _read_verdict(content: str, *, task: Task) -> Preference | str:
    """The verdict that the whole of `content` states, or the kind of failure."""
    content = content.strip()
    if len(content) > _LONGEST_VERDICT:
        return "unreadable_answer"
    words = " ".join(content.split())
    noun = task.noun.lower()
    if match := _VERDICT.fullmatch(words):
        better, number, worse, other = match.groups()
        if better.lower() != noun or (worse is not None and worse.lower() != noun):
            return "wrong_noun"
        if number == other:
            return "unreadable_answer"
        return Preference.FIRST if number == "1" else Preference.SECOND
    if match := _TIE.fullmatch(words):
        return Preference.TIE if match[1].lower() == noun else "wrong_noun"
    return "unreadable_answer"


def _read_tagged(blocks: _Blocks, *, task: Task, ties: bool) -> Judgement | ParseFailure:
    if blocks.open_tag:
        return _failure(
            "answer_in_reasoning" if blocks.num_inside and not blocks.final else "truncated", blocks.reasoning
        )
    if not blocks.final:
        inside = blocks.num_inside or blocks.doubtful
        return _failure("answer_in_reasoning" if inside else "no_answer", blocks.reasoning)
    verdict = _read_verdict(blocks.final[-1], task=task)
    others = {_read_verdict(content, task=task) for content in (*blocks.doubtful, *blocks.final[:-1])}
    if not isinstance(verdict, Preference):
        return _failure(verdict, blocks.final[-1])
    if others - {verdict, "unreadable_answer"}:
        return _failure("conflicting_answers", blocks.final[-1])
    if verdict is Preference.TIE and not ties:
        return _failure("tie_not_allowed", blocks.final[-1])
    return _judgement(verdict, blocks.reasoning, noun=task.noun)


_HEADING = re.compile(
    r"^[*#\s]*(?:overall judge?ment|final verdict|verdict|judge?ment|answer)[*\s]*:[*\s]*", re.IGNORECASE
)
_CLAIM = re.compile(
    r"(?:^|(?<=[.!?:*]))[*\s]*((?:(?:image|video|answer) ?[12] is better(?: than (?:image|video|answer) ?[12])?)"
    r"|(?:both (?:image|video|answer)s are equally good))[*\s]*(?:\.|$)",
    re.IGNORECASE | re.MULTILINE,
)


def _read_sentence(text: str, *, task: Task) -> Judgement | ParseFailure:
    """A direct answer: the verdict is the first sentence or the last line; every other verdict sentence must agree."""
    lines = text.strip().split("\n")
    first, last = lines[0], lines[-1]
    verdict = _read_verdict(_HEADING.sub("", last), task=task)
    if not isinstance(verdict, Preference):
        opening = _CLAIM.match(first)
        from_first = _read_verdict(opening[1], task=task) if opening else "no_answer"
        if isinstance(from_first, Preference):
            verdict = from_first
        elif verdict == "unreadable_answer":
            verdict = from_first
    if not isinstance(verdict, Preference):
        return _failure(verdict, last)
    claims = {_read_verdict(match[1], task=task) for match in _CLAIM.finditer(text)}
    if claims - {verdict}:
        return _failure("conflicting_answers", last)
    return _judgement(verdict, text.strip() if len(lines) > 1 else "", noun=task.noun)


def _failure(kind: str, text: str) -> ParseFailure:
    return ParseFailure(kind=kind, excerpt=text[-160:].strip())


# --- Scores and totals beside the verdict ----------------------------------------------------------------------------

_NUMBER = r"[-+]?[0-9]{1,4}(?:\.[0-9]{1,17})?"
_DIMENSION = re.compile(
    r"[ \t>*#_-]*(?:\(?[0-9]{1,2}[.):,][ \t]*)?[\[*_\"]*([A-Za-z][^:;\n\[\]*()]{0,60}?)[\]*_\"]*[ \t]*(?:\([^()\n]{0,20}\))?[ \t]*[*\]]*[ \t]*:"
)
_CANDIDATE = r"[\[*_\"(]*(?:%s)[ \t]*([12])[\])*_\"]*[ \t]*[:-]?[ \t]*"
_MARK = {
    noun: re.compile(
        r"(?:^|[;.|])[ \t>*_-]*" + _CANDIDATE % noun + rf"[(\[]?[ \t]*({_NUMBER}|nan|inf)[ \t]*/[ \t]*10(?![0-9.])",
        re.IGNORECASE,
    )
    for noun in ("Image", "Video", "Answer")
}
_TOTAL_HEADER = re.compile(
    r"^[ \t>*#_\[\"-]*(?:total|overall|final)(?:[ \t]+scores?)?[\]*_\"]*[ \t]*(?::|=|$)[*_]*",
    re.IGNORECASE | re.MULTILINE,
)
_TOTAL = {
    noun: re.compile(
        r"(?:^|[;|,.])[ \t>*_-]*" + _CANDIDATE % noun + rf"=?[ \t]*((?:{_NUMBER}[ \t]*\+[ \t]*)*{_NUMBER})(?:[ \t]*=[ \t]*\**({_NUMBER}))?",
        re.IGNORECASE | re.MULTILINE,
    )
    for noun in ("Image", "Video", "Answer")
}  # fmt: skip
_TOLERANCE = 0.011
"""Sums of scores with up to two decimals, each rounded, still count as equal."""


def _judgement(verdict: Preference, reasoning: str, *, noun: str) -> Judgement:
    header = None
    for header in _TOTAL_HEADER.finditer(reasoning):
        pass
    body = reasoning[: header.start()] if header else reasoning
    scores, complete = _read_scores(body, noun=noun)
    stated = _read_totals(reasoning[header.end() :], noun=noun) if header else None
    if stated is None:
        return Judgement(verdict=verdict, scores=scores, reasoning=reasoning)
    totals = (stated[0][1], stated[1][1])
    higher = Preference.TIE
    if abs(totals[0] - totals[1]) > 1e-9:
        higher = Preference.FIRST if totals[0] > totals[1] else Preference.SECOND
    return Judgement(
        verdict=verdict,
        scores=scores,
        totals=totals,
        sums_consistent=_sums_consistent(scores, stated, complete=complete),
        answer_matches_totals=verdict is higher,
        reasoning=reasoning,
    )


def _read_scores(body: str, *, noun: str) -> tuple[dict[str, tuple[float, float]], bool]:
    """Scores by dimension, and whether every score met could be used.

    Read are: both candidates in the dimension's line, in either order, parted by a semicolon; each on a line of its own,
    with or without bullets and indentation; a dash or a colon behind the score; numbered and unnumbered dimensions, with
    square brackets or asterisks around the name; decimals; full-width signs. A dimension counts if both candidates have
    one score from 1 to 10; two different scores for the same candidate and dimension cancel each other.
    """
    mark = _MARK[noun]
    label = noun.lower()
    found: dict[str, dict[str, float | None]] = {}
    dimension: str | None = None
    for line in body.split("\n"):
        if not line or line.isspace():
            continue
        heading = _DIMENSION.match(line)
        start = 0
        if heading:
            name = " ".join(heading[1].lower().split())
            if name.rstrip(" 12") != label:
                dimension, start = name, heading.end()
        if dimension is None or "/" not in line:
            continue
        for match in mark.finditer(line[start:]):
            number = float(match[2])
            value = number if 1.0 <= number <= 10.0 else None
            given = found.setdefault(dimension, {})
            given[match[1]] = value if match[1] not in given or given[match[1]] == value else None
    scores = {}
    for name, given in found.items():
        one, two = given.get("1"), given.get("2")
        if one is not None and two is not None:
            scores[name] = (one, two)
    return scores, len(scores) == len(found) > 0


_Stated = tuple[list[float], float]
"""The addends as written (one, if only the total was) and the total."""


def _read_totals(block: str, *, noun: str) -> tuple[_Stated, _Stated] | None:
    """Both candidates' totals, or None if one is missing or given twice with different values."""
    stated: dict[str, _Stated] = {}
    for match in _TOTAL[noun].finditer(block):
        addends = [float(number) for number in match[2].split("+")] if "+" in match[2][1:] else [float(match[2])]
        total = float(match[3]) if match[3] else (addends[0] if len(addends) == 1 else sum(addends))
        if match[1] in stated and stated[match[1]][1] != total:
            return None
        stated[match[1]] = (addends, total)
    return (stated["1"], stated["2"]) if len(stated) == 2 else None


def _sums_consistent(
    scores: dict[str, tuple[float, float]], stated: tuple[_Stated, _Stated], *, complete: bool
) -> bool | None:
    for index, (addends, total) in enumerate(stated):
        if len(addends) > 1 and abs(sum(addends) - total) > _TOLERANCE:
            return False
        if complete:
            given = [pair[index] for pair in scores.values()]
            if abs(sum(given) - total) > _TOLERANCE or (len(addends) > 1 and sorted(addends) != sorted(given)):
                return False
    return True if complete else None
