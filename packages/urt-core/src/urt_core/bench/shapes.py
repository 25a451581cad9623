"""Lines of files -> readings. One function per shape: what `urt bench run` writes, and what others have published."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from urt_core.bench.rules.lists import ScoredList
from urt_core.bench.rules.pairs import Outcome, Reading
from urt_core.bench.rules.rule import Benchmark
from urt_core.errors import ConfigError, DataError

Line = Mapping[str, Any]
REMEDY = "mend or remove the line, or name another --shape"

DOUBLE_BRACKETS = re.compile(r"\[\[.*\]\]")
"""GenAI-Bench `inference.py`: the first match, greedy within its line."""
ARENA_VOTES = {
    "[[A>B]]": Outcome.FIRST,
    "[[A>>B]]": Outcome.FIRST,
    "[[B>A]]": Outcome.SECOND,
    "[[B>>A]]": Outcome.SECOND,
    "[[A=B=Good]]": Outcome.BOTH_GOOD,
    "[[A=B=Bad]]": Outcome.BOTH_BAD,
    "[[A=B]]": Outcome.TIE,
}
ARENA_LABELS = {
    "leftvote": Outcome.FIRST,
    "rightvote": Outcome.SECOND,
    "tievote": Outcome.BOTH_GOOD,
    "bothbad_vote": Outcome.BOTH_BAD,
}
LETTERS = {"A": Outcome.FIRST, "B": Outcome.SECOND}
DECISIONS = {"A>B": Outcome.FIRST, "B>A": Outcome.SECOND, "A=B": Outcome.TIE}
NUMBERED = {"0": Outcome.FIRST, "1": Outcome.SECOND, "tie": Outcome.TIE}
KINDS_OF_TIE = {"both good": Outcome.BOTH_GOOD, "both bad": Outcome.BOTH_BAD}
PREFERENCES = {str(outcome): outcome for outcome in Outcome}


def genai_bench(line: Line) -> Reading:
    """{"item": "0", "label": "rightvote", "vote": "[[A>B]]" or null}; without a `vote`, it is looked for in
    `response`."""
    vote = line.get("vote")
    if "vote" not in line:
        found = DOUBLE_BRACKETS.search(need(line, "response", str))
        vote = found[0] if found else None
    item, verdict = identity(line, "item"), ARENA_VOTES.get(vote) if isinstance(vote, str) else None
    return Reading(pair=item, item=item, label=one_of(line, "label", ARENA_LABELS), given=(verdict,))


def mmrb2(line: Line) -> Reading:
    """{"item": "...", "chosen": "A", "forward": ["A"], "reverse": ["B"]}: the first judgement of each order; in the
    reverse order B is shown first, so that its letter is turned back."""
    item, label = identity(line, "item", "id", "pair_id"), one_of(line, "chosen", LETTERS)
    given, swapped = first_letter(line, "forward"), first_letter(line, "reverse")
    return Reading(pair=item, item=item, label=label, given=(given,), swapped=(swapped and swapped.swap(),))


def mj_bench(line: Line) -> Reading:
    """{"id": 0, "score_0": 0.79, "score_1": 0.83, "label": "0", "1" or "tie"}: a verdict is the larger score, a tie an
    equal one."""
    item = identity(line, "id", "item")
    first, second = score(line, "score_0"), score(line, "score_1")
    margin = None if first is None or second is None else first - second
    verdict = None
    if margin is not None:
        verdict = Outcome.TIE if margin == 0 else Outcome.FIRST if margin > 0 else Outcome.SECOND
    return Reading(pair=item, item=item, label=one_of(line, "label", NUMBERED), given=(verdict,), margins=(margin,))


def judgebench(line: Line) -> Reading:
    """{"item": "...", "source": "mmlu-pro-law", "label": "A>B", "decisions": ["A>B", "B>A"]}: the given order, then the
    swapped one, as the judge said it."""
    item, decisions = identity(line, "item", "pair_id"), need(line, "decisions", list)
    if len(decisions) != 2:
        raise DataError(
            f"decisions holds {len(decisions)} entries; it needs one for each of the two orders, null where it is unreadable: {REMEDY}"
        )
    given, swapped = (DECISIONS.get(decision) if isinstance(decision, str) else None for decision in decisions)
    return Reading(
        pair=item,
        item=item,
        group=need(line, "source", str),
        label=one_of(line, "label", DECISIONS),
        given=(given,),
        swapped=(swapped and swapped.swap(),),
    )


def urt(line: Line) -> Reading:
    """One judgement, as `urt bench run` and evaluations write it: label and verdict are as the judge was shown the
    pair.

    {"key": "17", "order": "swapped", "label": "first", "verdict": "second", "item": "17", "group": "", "tie_kind":
    null, "margin": -2.0}
    """
    key, order = need(line, "key", str), one_of(line, "order", {"given": False, "swapped": True})
    label = one_of(line, "label", PREFERENCES)
    if label is Outcome.TIE:
        label = KINDS_OF_TIE.get(str(line.get("tie_kind")), label)
    verdict = one_of(line, "verdict", PREFERENCES) if line.get("verdict") is not None else None
    margin = shown_margin(line)
    return Reading(
        pair=key,
        item=str(line.get("item") or key),
        group=str(line.get("group") or line.get("cause") or ""),
        label=label.swap() if order else label,
        given=() if order else (verdict,),
        swapped=(verdict and verdict.swap(),) if order else (),
        margins=(-margin if order and margin is not None else margin,),
    )


def scored_lists(line: Line) -> ScoredList:
    """RewardBench 2: {"id": "17" or "tied:3", "subset": "Math", "scores": [7.5, 6.0, 6.0, 2.0], "num_correct": 1}, the
    right ones first."""
    scores = need(line, "scores", list)
    num_right = line.get("num_correct", 1)
    if not isinstance(num_right, int) or not 1 <= num_right < len(scores):
        raise DataError(
            f"num_correct is {num_right!r} of {len(scores)} scores; it needs at least one right and one wrong candidate: {REMEDY}"
        )
    values = (value[0] if isinstance(value, list) and value else value for value in scores)
    return ScoredList(
        item=identity(line, "id", "item"),
        group=need(line, "subset", str),
        scores=tuple(as_number(value) for value in values),
        num_right=num_right,
    )


PAIR_SHAPES: Mapping[str, Callable[[Line], Reading]] = {
    "urt": urt,
    "genai_bench": genai_bench,
    "mmrb2": mmrb2,
    "mj_bench": mj_bench,
    "judgebench": judgebench,
}
LIST_SHAPES: Mapping[str, Callable[[Line], ScoredList]] = {"rewardbench2": scored_lists}
SIGNS = {
    "urt": {"key", "order", "verdict"},
    "genai_bench": {"item", "label", "vote"},
    "mmrb2": {"chosen", "forward", "reverse"},
    "mj_bench": {"score_0", "score_1"},
    "judgebench": {"source", "decisions"},
    "rewardbench2": {"subset", "scores"},
}
"""Fields that only lines of this shape have."""


def shape_of(line: Line) -> str:
    for name, fields in SIGNS.items():
        if fields <= line.keys():
            return name
    raise DataError(
        f"has the fields {', '.join(sorted(map(str, line))) or '(none)'}, which is no known shape; name one with --shape: "
        + ", ".join(SIGNS)
    )


def readings(
    lines: Iterable[tuple[int, Line]], *, source: str, shape: str | None, benchmark: Benchmark
) -> Iterator[tuple[str, Any]]:
    """(line number, line) of `source` -> (place, `Reading` or `ScoredList`). Repeated judgements and lines that are not
    of the shape are errors that name the place."""
    known = {**PAIR_SHAPES, **LIST_SHAPES}
    shape = "judgebench" if shape == "judge_bench" else shape
    if shape is not None and shape not in benchmark.shapes:
        raise ConfigError(f"shape is {shape!r}; {benchmark.name} takes {', '.join(benchmark.shapes)}")
    seen: dict[int, int] = {}
    for number, line in lines:
        where = f"{source}, line {number}" if source else f"line {number}"
        try:
            if not isinstance(line, Mapping):
                raise DataError(f"is a JSON {type(line).__name__}; each line must be an object: mend or remove it")
            shape = shape or shape_of(line)
            if shape not in benchmark.shapes:
                raise DataError(
                    f"is of shape {shape}, and {benchmark.name} takes {', '.join(benchmark.shapes)}: it belongs to another "
                    "benchmark; name that one with --benchmark"
                )
            reading = known[shape](line)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        key = hash(judgement_key(line, reading))
        if key in seen:
            raise DataError(
                f"{where}: repeats the judgement of line {seen[key]}; each is counted once: remove one of them, or name a file of "
                "one run only"
            )
        seen[key] = number
        yield where, reading


def judgement_key(line: Line, reading: Reading | ScoredList) -> tuple:
    if isinstance(reading, ScoredList):
        return (reading.item, reading.group)
    which = (str(line.get(name)) for name in ("vote_index", "dialect"))
    return (reading.pair, bool(reading.given), bool(reading.swapped), *which)


def need(line: Line, name: str, kind: type) -> Any:
    value = line.get(name)
    if not isinstance(value, kind):
        raise DataError(f"{found(line, name)}; it must be a {kind.__name__}: {REMEDY}")
    return value


def identity(line: Line, *names: str) -> str:
    for name in names:
        if isinstance(line.get(name), str | int):
            return str(line[name])
    raise DataError(f"lacks {' or '.join(names)}, which tells its item from the others: {REMEDY}")


def found(line: Line, name: str) -> str:
    return f"has {name} {line[name]!r:.60}" if name in line else f"lacks {name}"


def one_of(line: Line, name: str, allowed: Mapping[str, Any]) -> Any:
    value = line.get(name)
    if not isinstance(value, str) or value not in allowed:
        raise DataError(f"{found(line, name)}; allowed: {', '.join(allowed)}: {REMEDY}")
    return allowed[value]


def first_letter(line: Line, name: str) -> Outcome | None:
    """Of a list of letters, or a letter by itself; None where there is none."""
    letters = line.get(name)
    letters = letters if isinstance(letters, list) else [letters]
    return LETTERS.get(letters[0]) if letters and isinstance(letters[0], str) else None


def score(line: Line, name: str) -> float | None:
    if name not in line:
        raise DataError(
            f"lacks {name}; a line of this shape has a score for each candidate, null where there is none: {REMEDY}"
        )
    return as_number(line[name])


def as_number(value: object) -> float | None:
    """A finite number, or text that is one and nothing else ("7\\n"); None otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def shown_margin(line: Line) -> float | None:
    if "margin" in line:
        return as_number(line["margin"])
    totals = line.get("totals")
    if not isinstance(totals, list) or len(totals) != 2:
        return None
    first, second = map(as_number, totals)
    return None if first is None or second is None else first - second
