"""What a rule says of a judge: numbers in percent, their intervals, and what they leave out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from urt_core.errors import ConfigError, DataError

SCHEMA = 1
NEEDED = ("benchmark", "rule", "n_total", "n_scored", "n_failed")
"""What no saved result is without."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchResult:
    """The numbers of one judge by one rule.

    BenchResult(benchmark="genai_bench", rule="four_way", wording="over all votes, ...", values={"accuracy": 45.59},
                own=("accuracy",), intervals={"accuracy": (43.26, 47.94)}, n_of={"accuracy": 1735}, n_total=1735, n_scored=1724, n_failed=11)
    """

    benchmark: str
    rule: str
    wording: str
    values: Mapping[str, float]
    """In percent: the rule's own numbers, the headline first; then, whatever the rule, unreadable, first_picked, and
    with both orders mean_of_orders, position_consistency, consistent_of_decided, tied_in_both_orders,
    tied_in_one_order. NaN where there is nothing to count."""
    own: tuple[str, ...]
    """Which of them are the rule's own."""
    intervals: Mapping[str, tuple[float, float]]
    """Of every number, at 95 %, clustered by item."""
    n_of: Mapping[str, int]
    """The denominator of every number."""
    n_total: int
    """What the rule counts: judgements, pairs or items."""
    n_scored: int
    n_failed: int
    """Those that could not be read: n_total - n_scored."""
    threshold: float | None = None
    """The margin up to which a pair is a tie, where the rule has one."""
    notes: tuple[str, ...] = ()
    """What a reader has to know: an incomplete run, a rule that is a known mistake."""
    is_complete: bool | None = None
    """Whether there are as many pairs as the benchmark has; None where its size is not known."""
    by_item: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    """Item -> (right, n) of the headline, for paired tests."""

    @property
    def headline(self) -> str:
        return self.own[0]

    def interval(self, name: str) -> tuple[float, float]:
        """The 95 % interval of a number, in percent."""
        if name not in self.intervals:
            raise ConfigError(f"rule {self.rule!r} gives no {name!r}; it gives {', '.join(self.intervals)}")
        return self.intervals[name]

    def to_json(self) -> dict[str, Any]:
        """Without `by_item`."""
        return {
            "schema": SCHEMA,
            "benchmark": self.benchmark,
            "rule": self.rule,
            "wording": self.wording,
            "values": {name: None if math.isnan(value) else value for name, value in self.values.items()},
            "own": list(self.own),
            "intervals": {name: list(pair) for name, pair in self.intervals.items()},
            "n_of": dict(self.n_of),
            "n_total": self.n_total,
            "n_scored": self.n_scored,
            "n_failed": self.n_failed,
            "threshold": self.threshold,
            "is_complete": self.is_complete,
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Reads what any earlier version has written: numbers that it did not have are missing here."""
        schema = value.get("schema") if isinstance(value, Mapping) else None
        if not isinstance(schema, int) or isinstance(schema, bool):
            raise DataError(
                "is no result of `urt bench`: it has no schema version; run `urt bench rescore` on its lines"
            )
        if schema > SCHEMA:
            raise DataError(f"has schema {schema}, this urt reads up to {SCHEMA}; update urt-core")
        if missing := [name for name in NEEDED if name not in value]:
            raise DataError(f"lacks {', '.join(missing)}; run `urt bench rescore` on its lines")
        known = {name: value[name] for name in cls.__slots__ if name in value}
        known |= {"intervals": {name: tuple(pair) for name, pair in value.get("intervals", {}).items()}}
        known |= {"notes": tuple(value.get("notes", ())), "own": tuple(value.get("own") or value.get("values", {}))}
        known |= {
            "values": {name: math.nan if number is None else number for name, number in value.get("values", {}).items()}
        }
        defaults: dict[str, Any] = {"wording": "", "n_of": {}}
        return cls(**{**defaults, **known})
