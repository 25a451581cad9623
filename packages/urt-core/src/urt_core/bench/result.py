"""What a rule says of a judge: numbers in percent, their intervals, and what they leave out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from urt_core.bench.counting import Value
from urt_core.errors import ConfigError, DataError

SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchResult:
    """The numbers of one judge by one rule.

    BenchResult(benchmark="genai_bench", rule="four_way", wording="over all votes, ...", values={"accuracy": 45.59},
                intervals={"accuracy": (43.26, 47.94)}, n_of={"accuracy": 1735}, n_total=1735, n_scored=1724, n_failed=11)
    """

    benchmark: str
    rule: str
    wording: str
    values: Mapping[str, float]
    """The rule's own numbers, in percent, the headline first."""
    behaviour: Mapping[str, float]
    """In percent, whatever the rule: unreadable, first_picked, and with both orders mean_of_orders, position_consistency,
    consistent_of_decided, tied_in_both_orders, tied_in_one_order."""
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
        return next(iter(self.values), "")

    def interval(self, name: str) -> tuple[float, float]:
        """The 95 % interval of a number, in percent."""
        if name not in self.intervals:
            raise ConfigError(f"rule {self.rule!r} gives no {name!r}; it gives {', '.join(self.intervals)}")
        return self.intervals[name]

    def to_json(self) -> dict[str, Any]:
        """Without `by_item`."""
        names = ("benchmark", "rule", "wording", "values", "behaviour", "n_total", "n_scored", "n_failed", "n_of")
        intervals = {name: list(pair) for name, pair in self.intervals.items()}
        return (
            {"schema": SCHEMA}
            | {name: getattr(self, name) for name in names}
            | {
                "intervals": intervals,
                "threshold": self.threshold,
                "is_complete": self.is_complete,
                "notes": list(self.notes),
            }
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Reads what any earlier version has written: numbers that it did not have are missing here."""
        if not isinstance(value, Mapping) or not isinstance(value.get("schema"), int):
            raise DataError(
                "is no result of `urt bench`: it has no schema version; run `urt bench rescore` on its lines"
            )
        if value["schema"] > SCHEMA:
            raise DataError(f"has schema {value['schema']}, this urt reads up to {SCHEMA}; update urt-core")
        known = {name: value[name] for name in cls.__slots__ if name in value}
        known |= {"intervals": {name: tuple(pair) for name, pair in value.get("intervals", {}).items()}}
        known |= {"notes": tuple(value.get("notes", ()))}
        defaults: dict[str, Any] = {"wording": "", "behaviour": {}, "n_of": {}}
        return cls(**{**defaults, **known})


def numbers(values: Mapping[str, Value]) -> dict[str, float]:
    return {name: value.percent for name, value in values.items()}
