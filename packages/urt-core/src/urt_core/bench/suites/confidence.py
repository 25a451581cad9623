"""Whether a judge's confidence means what it says: reliability by votes, margin, log-probability and what it
states itself, and what abstaining buys."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from urt_core.bench.saved import known_fields
from urt_core.comparison import MARGIN_SCALE
from urt_core.judging.pairs import JudgedPair
from urt_core.metrics import CalibrationBin, calibration
from urt_core.records import Preference

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Confidence:
    """One way to read a probability, against the labels.

    Confidence(method="margin", n=96, ece=0.081, brier=0.09, bins=(CalibrationBin(...),), abstention=((1.0, 0.93), (0.9,
    0.95), ...))
    """

    method: str
    n: int
    ece: float
    """Expected calibration error of P(the one shown first is better)."""
    brier: float
    bins: tuple[CalibrationBin, ...]
    abstention: tuple[tuple[float, float], ...]
    """(share of the judgements kept, the most confident first; accuracy on them, expected where equally confident ones are drawn from)."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, path: Path) -> Self:
        """Reads what any earlier version has saved in `path`."""
        known = known_fields(cls, {"bins": (), "abstention": (), **value}, path=path)
        bins = tuple(CalibrationBin(**known_fields(CalibrationBin, row, path=path)) for row in known["bins"])
        return cls(**{**known, "bins": bins, "abstention": tuple((kept, right) for kept, right in known["abstention"])})


def confidences(known: Sequence[JudgedPair], votes: Sequence[JudgedPair]) -> Iterator[Confidence]:
    """By whatever the judgements hold, on pairs whose label is decided."""
    by_pair: dict[tuple[str, str], list[JudgedPair]] = defaultdict(list)
    for pair in votes:
        by_pair[pair.key, str(pair.order)].append(pair)
    methods: dict[str, list[tuple[float, JudgedPair]]] = {
        "votes": [(share, cast[0]) for cast in by_pair.values() if (share := vote_share(cast)) is not None],
        "margin": with_probability(known, by_margin),
        "log-probability": with_probability(known, by_logprob),
        "stated": with_probability(known, by_stated),
    }
    for method, found in methods.items():
        rows = [(p, pair) for p, pair in found if pair.label in (Preference.FIRST, Preference.SECOND)]
        if rows:
            yield confidence(method, rows)


def confidence(method: str, rows: Sequence[tuple[float, JudgedPair]]) -> Confidence:
    outcomes = [pair.label is Preference.FIRST for _, pair in rows]
    measured = calibration([p for p, _ in rows], outcomes, num_bins=10)
    alike: dict[float, list[bool]] = defaultdict(list)
    for (p, _), outcome in zip(rows, outcomes, strict=True):
        # Rounded, so that p and 1 - p are equally confident.
        alike[round(abs(p - 0.5), 12)].append((p > 0.5) == outcome if p != 0.5 else False)
    ranked = [alike[how_sure] for how_sure in sorted(alike, reverse=True)]
    kept = [(share, max(1, round(share * len(rows)))) for share in COVERAGES]
    return Confidence(
        method=method,
        n=measured.n,
        ece=measured.ece,
        brier=measured.brier,
        bins=measured.bins,
        abstention=tuple((share, num_right(ranked, num) / num) for share, num in kept),
    )


def num_right(ranked: Sequence[Sequence[bool]], num: int) -> float:
    """Of the first `num`, as many of the last of their groups as there is room for, drawn from it at random."""
    right, room = 0.0, num
    for group in ranked:
        taken = min(room, len(group))
        right += sum(group) * taken / len(group)
        room -= taken
    return right


def with_probability(
    pairs: Sequence[JudgedPair], read: Callable[[JudgedPair], float | None]
) -> list[tuple[float, JudgedPair]]:
    return [(p, pair) for pair in pairs if (p := read(pair)) is not None]


def vote_share(cast: Sequence[JudgedPair]) -> float | None:
    worth = {Preference.FIRST: 1.0, Preference.TIE: 0.5, Preference.SECOND: 0.0}
    read = [worth[pair.verdict] for pair in cast if pair.verdict is not None]
    return sum(read) / len(read) if read else None


def by_margin(pair: JudgedPair) -> float | None:
    return None if pair.margin is None else 1 / (1 + math.exp(-pair.margin / MARGIN_SCALE))


def by_logprob(pair: JudgedPair) -> float | None:
    return of_first(pair.verdict_probability, pair)


def by_stated(pair: JudgedPair) -> float | None:
    return of_first(pair.confidence, pair)


def of_first(p: float | None, pair: JudgedPair) -> float | None:
    """The probability of the verdict, turned to the one shown first."""
    if p is None or pair.verdict in (None, Preference.TIE):
        return None
    return p if pair.verdict is Preference.FIRST else 1 - p
