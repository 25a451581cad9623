"""What a rule sees of a run: for each pair its label and the verdicts on it, turned back to the record's own order."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from urt_core.errors import DataError
from urt_core.records import Preference


class Outcome(StrEnum):
    """A label or a verdict. A plain `TIE` does not say of which kind it is."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    BOTH_GOOD = "both_good"
    BOTH_BAD = "both_bad"

    @property
    def is_decisive(self) -> bool:
        return self in (Outcome.FIRST, Outcome.SECOND)

    @property
    def preference(self) -> Preference:
        """With both kinds of tie as one."""
        return Preference(str(self)) if self.is_decisive else Preference.TIE

    def swap(self) -> "Outcome":
        return {Outcome.FIRST: Outcome.SECOND, Outcome.SECOND: Outcome.FIRST}.get(self, self)


Verdicts = tuple[Outcome | None, ...]
"""One per judgement; None where it could not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One line of a file, understood: some or all judgements of one pair.

    Reading(pair="17", item="17", group="", label=Outcome.FIRST, given=(Outcome.FIRST,), swapped=(), margins=())
    """

    pair: str
    item: str
    """What repeats where several pairs belong together; intervals are clustered by it."""
    label: Outcome
    group: str = ""
    given: Verdicts = ()
    """Verdicts on the pair as given."""
    swapped: Verdicts = ()
    """Verdicts with the candidates exchanged, turned back: `FIRST` is the record's first candidate."""
    margins: tuple[float | None, ...] = ()
    """Score of the first candidate less that of the second, per judgement; None where there is none."""


@dataclass(kw_only=True, slots=True)
class PairVerdicts:
    """All judgements of one pair; as `Reading`."""

    item: str
    group: str
    label: Outcome
    given: Verdicts
    swapped: Verdicts
    margins: tuple[float | None, ...]

    @property
    def margin(self) -> float | None:
        """The mean over the judgements that have one."""
        known = [margin for margin in self.margins if margin is not None]
        return sum(known) / len(known) if known else None


def gather(readings: Iterable[tuple[str, Reading]]) -> list[PairVerdicts]:
    """Readings, each with the place it was read at, joined by pair. Nothing of a line is kept but its outcome, so that
    memory does not grow with the texts.

    One line may hold all of a pair or one judgement of it; the same judgement twice has been found earlier, by the
    reader of the lines, and two different labels are found here.
    """
    pairs: dict[str, PairVerdicts] = {}
    shared: dict[tuple, tuple] = {}
    for where, reading in readings:
        known = pairs.get(reading.pair)
        if known is None:
            pairs[reading.pair] = PairVerdicts(
                item=reading.item,
                group=reading.group,
                label=reading.label,
                given=shared.setdefault(reading.given, reading.given),
                swapped=shared.setdefault(reading.swapped, reading.swapped),
                margins=reading.margins,
            )
            continue
        if known.label is not reading.label:
            raise DataError(
                f"{where}: pair {reading.pair!r} is labelled {reading.label}, and {known.label} further up; two benchmarks are mixed, "
                "or two versions of one: judge again from one set of records"
            )
        given, swapped = known.given + reading.given, known.swapped + reading.swapped
        known.given, known.swapped = shared.setdefault(given, given), shared.setdefault(swapped, swapped)
        known.margins += reading.margins
    return list(pairs.values())
