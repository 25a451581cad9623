"""Scores and totals that a judgement states. They are read beside the verdict and never decide it.

A score counts for the candidate whose label stands in front of it and for the dimension named last. So both candidates
may stand in the dimension's line, in either order, or each on a line of its own, with bullets or indentation; a dash or
a colon may follow the score; dimensions come with and without number, square brackets or asterisks; decimals are read.
"""

import re

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


def read_scores(body: str, *, noun: str) -> tuple[dict[str, tuple[float, float]], int]:
    """Scores by dimension, and the number of dimensions that had to be left out.

    A dimension counts if both candidates have one score from 1 to 10 (NaN and others are dropped); two different scores
    for the same candidate and dimension cancel each other.
    """
    given: dict[str, float | None] | None = None
    found: dict[str, dict[str, float | None]] = {}
    for candidate, number, numbered_name, name in _PATTERNS[noun][0].findall(body):
        if not candidate:
            given = found.setdefault(numbered_name or name, {})
        elif given is not None:
            value = float(number)
            score = value if 1.0 <= value <= 10.0 else None
            given[candidate] = score if given.get(candidate, score) == score else None
    scores: dict[str, tuple[float, float]] = {}
    num_dropped = 0
    for name, given in found.items():
        first, second = given.get("1"), given.get("2")
        if first is not None and second is not None:
            scores[name] = (first, second)
        elif given:
            num_dropped += 1
    return scores, num_dropped


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


def check_sums(scores: dict[str, tuple[float, float]], totals: Totals, *, num_dropped: int) -> bool | None:
    """Whether each total is the sum of its addends and of the scores. Where scores had to be left out, a wrong sum is
    still wrong and a right one stays undecided."""
    stated = (totals["1"], totals["2"])
    for addends, total in stated:
        if abs(sum(addends) - total) > _TOLERANCE:
            return False
    if num_dropped:
        return None
    if not scores:
        return True if all(len(addends) > 1 for addends, _ in stated) else None
    for (addends, total), given in zip(stated, zip(*scores.values(), strict=True), strict=True):
        if addends != given and sorted(addends) != sorted(given):
            is_alone = len(addends) == 1
            if not is_alone or abs(sum(given) - total) > _TOLERANCE:
                return False
    return True
