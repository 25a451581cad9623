"""Scores and totals that a judgement states. They are read beside the verdict and never decide it.

A score counts for the candidate whose label stands in front of it and for the dimension named last. So both candidates
may stand in the dimension's line, in either order, or each on a line of its own, with bullets or indentation; a dash or
a colon may follow the score; dimensions come with and without number, square brackets or asterisks; decimals are read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_UNSIGNED = r"[0-9]{1,4}(?:\.[0-9]{1,17})?"
_NUMBER = rf"[-+]?{_UNSIGNED}"
_SEPARATOR = r"[\])*_\" \t:=(\[]{0,8}+(?:-[ \t]+[(\[*_]{0,3}+)?(?:(?:total|score)[: \t=]*)?"
"""Between a label and its number: closing signs of the label, a colon or a dash, opening signs of the number."""

# A dimension is numbered, bracketed or bold; or else it has nothing or a label behind its colon, unlike prose.
_LABEL = r"(?:image|video|answer)[ \t]*[12]"
_NAME = rf"((?!{_LABEL})[^\W\d_][\w'’]*+(?:(?: & |[ /&,.-])\w[\w'’]*+){{0,7}}+)"
_GLOSS = r"[\]*_\"]*+[ \t]*+(?:\([^()\n]{0,40}\)[*_ \t]*)?"
_NUMBERED = r"\(?[0-9]{1,2}[.):,][ \t]*+[\[*_\"]*+"
_DECORATED = r"[\[*_]++(?:[0-9]{1,2}[.):][ \t]*+)?"
_DIMENSION = (
    r"\n[ \t>#-]*+(?:\*[ \t]+)?"
    rf"(?:(?:{_NUMBERED}|{_DECORATED}){_NAME}{_GLOSS}(?=[:\n-])"
    rf"|{_NAME}{_GLOSS}(?=:[ \t]*(?:\n|[\[*_(]*{_LABEL})))"
)


def _patterns(noun: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    label = rf"{noun}[ \t]*([12])(?![0-9]){_SEPARATOR}"
    score = rf"({_NUMBER}|nan|inf)[ \t]*/[ \t]*10(?!\.?[0-9])"
    total = rf"((?:{_UNSIGNED}[ \t]*\+[ \t]*)*+{_UNSIGNED})(?!\.?\w)(?:[ \t]*=[ \t*_]*({_UNSIGNED})(?!\.?\w))?"
    return re.compile(rf"{label}{score}|{_DIMENSION}"), re.compile(label + total)


_PATTERNS = {noun: _patterns(noun.lower()) for noun in ("Image", "Video", "Answer")}
_TOTAL_HEADER = re.compile(
    r"\n[ \t>*#_\[\"-]*+(?:[0-9]{1,2}[.)][ \t*_\[]*+)?total(?:[ \t]+scores?)?[\]*_\" \t]*+(?:\([^()\n]{0,40}\)[*_ \t]*+)?(?=[:=\n])"
)
_TOLERANCE = 0.0101
"""Scores are written with up to two decimals: their stated sum may be off by one in the last."""

Totals = dict[str, tuple[tuple[float, ...], float]]
"""Candidate "1" and "2" -> the addends as written (the total alone where there are none) and the total."""


def has_marks(text: str, *, noun: str) -> bool:
    """Whether the text scores a candidate anywhere."""
    return any(match[1] for match in _PATTERNS[noun][0].finditer("\n" + text.lower()))


def split_totals(reasoning: str) -> tuple[str, str]:
    """The reasoning in lower case, cut at its last total header: what is scored, and what is totalled."""
    lines = "\n" + reasoning.lower() + "\n"
    start = end = len(lines)
    for header in _TOTAL_HEADER.finditer(lines):
        start, end = header.start(), header.end()
    return lines[: start + 1], lines[end:]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Scores(of={"aesthetics": (7.0, 8.0)}, lines=((7.0, 8.0),), num_dropped=0, num_one_sided=0)"""

    of: dict[str, tuple[float, float]]
    """Lower-case dimension -> scores of candidates 1 and 2. A name given twice with different scores is left out."""
    lines: tuple[tuple[float, float], ...]
    """The scores of every dimension as it was written, names that repeat included: the addends of the totals."""
    num_dropped: int
    """Dimensions with a score that is NaN, off the scale, or given twice for one candidate."""
    num_one_sided: int
    """Dimensions that score one candidate and never the other."""


def read_scores(body: str, *, noun: str) -> Scores:
    """A dimension counts if both candidates have one score from 1 to 10; two different scores for the same candidate in
    one dimension cancel each other. Where a name repeats, each time is a dimension of its own, unless one time scores
    candidate 1 and the other candidate 2."""
    given: dict[str, float | None] | None = None
    named: dict[str, list[dict[str, float | None]]] = {}
    for candidate, number, numbered_name, name in _PATTERNS[noun][0].findall(body):
        if not candidate:
            given = {}
            named.setdefault(numbered_name or name, []).append(given)
        elif given is not None:
            value = float(number)
            score = value if 1.0 <= value <= 10.0 else None
            given[candidate] = score if given.get(candidate, score) == score else None
    of: dict[str, tuple[float, float]] = {}
    lines: list[tuple[float, float]] = []
    num_dropped = num_one_sided = 0
    for name, times in named.items():
        pairs: set[tuple[float, float]] = set()
        num_bad = 0
        for given in _joined(times):
            first, second = given.get("1"), given.get("2")
            if first is not None and second is not None:
                lines.append((first, second))
                pairs.add((first, second))
            elif len(given) == 2 or None in given.values():
                num_bad += 1
            elif given:
                num_one_sided += 1
        num_dropped += num_bad
        if len(pairs) == 1 and not num_bad:
            of[name] = pairs.pop()
    return Scores(of=of, lines=tuple(lines), num_dropped=num_dropped, num_one_sided=num_one_sided)


def _joined(times: list[dict[str, float | None]]) -> list[dict[str, float | None]]:
    """One dimension written in two places, first for one candidate and then for the other, is one."""
    scored = [given for given in times if given]
    if len(scored) == 2 and len(scored[0]) == len(scored[1]) == 1 and scored[0].keys() != scored[1].keys():
        return [scored[0] | scored[1]]
    return scored


def read_totals(block: str, *, noun: str) -> Totals | None:
    """Both candidates' totals, or None where one is missing or stated twice with different values."""
    totals: Totals = {}
    for candidate, addends_text, total_text in _PATTERNS[noun][1].findall(block):
        addends = tuple(map(float, addends_text.split("+")))
        total = float(total_text) if total_text else sum(addends)
        if candidate in totals and totals[candidate][1] != total:
            return None
        totals[candidate] = (addends, total)
    return totals if len(totals) == 2 else None


def check_sums(scores: Scores, totals: Totals) -> bool | None:
    """Whether each total is the sum of its addends and of the scores, line by line.

    A wrong sum is wrong whatever else there is, and so is one with an addend that was never given as a score (a
    dimension scored for one candidate only). Where a score could not be read, a right sum stays undecided.
    """
    stated = (totals["1"], totals["2"])
    for addends, total in stated:
        if abs(sum(addends) - total) > _TOLERANCE:
            return False
    if scores.num_one_sided:
        # A total that stands alone may hold the score that was never written; a written addend without one can't.
        return False if any(len(addends) > 1 for addends, _ in stated) else None
    if scores.num_dropped:
        return None
    if not scores.lines:
        return True if all(len(addends) > 1 for addends, _ in stated) else None
    # Some repeat a dimension word for word, as a heading or in a summary, and count it once.
    return any(_add_up(stated, lines) for lines in (scores.lines, tuple(scores.of.values())) if lines)


def _add_up(stated: Sequence[tuple[tuple[float, ...], float]], lines: Sequence[tuple[float, float]]) -> bool:
    for (addends, total), given in zip(stated, zip(*lines, strict=True), strict=True):
        if addends != given and sorted(addends) != sorted(given):
            is_alone = len(addends) == 1
            if not is_alone or abs(sum(given) - total) > _TOLERANCE:
                return False
    return True
