"""Which hard pairs are worth a group: those on which completions will differ in reward."""

from __future__ import annotations

import math
from collections.abc import Sequence

from urt_core import PreferenceRecord
from urt_train.datasets.rejection import COUNTS
from urt_train.runtime.ranks import derived_seed


def chance_of_variance(right: int, total: int, group_size: int) -> float:
    """Chance that a group holds right and wrong verdicts, when `right` of `total` judgements were right.

    1 - p^G - (1 - p)^G, averaged over the posterior Beta(right + 1, total - right + 1) of the pass rate p. DAPO (arXiv
    2503.14476) drops groups without variance after they were generated; the posterior avoids many of them before.

    >>> [round(chance_of_variance(right, 4, 8), 2) for right in range(5)]
    [0.61, 0.86, 0.93, 0.86, 0.61]
    """
    wrong = total - right

    def expected_power(successes: int, failures: int) -> float:
        """E[p^G] under Beta(successes + 1, failures + 1)."""
        return math.exp(
            math.lgamma(successes + 1 + group_size)
            - math.lgamma(successes + 1)
            + math.lgamma(successes + failures + 2)
            - math.lgamma(successes + failures + 2 + group_size)
        )

    return 1 - expected_power(right, wrong) - expected_power(wrong, right)


def choose(records: Sequence[PreferenceRecord], count: int, *, group_size: int, seed: int) -> list[PreferenceRecord]:
    """`count` of the records, without replacement, weighted by their chance of variance (Efraimidis and Spirakis 2006).

    A record without counts has those of none judged. The choice is a function of the seed and the keys.
    """

    def rank(record: PreferenceRecord) -> float:
        counts = record.metadata.get(COUNTS, {})
        weight = chance_of_variance(counts.get("right", 0), counts.get("total", 0), group_size)
        uniform = (derived_seed(seed, "choose", record.key) + 1) / 2**62
        return math.log(min(uniform, 1 - 1e-16)) / max(weight, 1e-9)

    chosen = set(sorted(range(len(records)), key=lambda place: -rank(records[place]))[:count])
    return [record for place, record in enumerate(records) if place in chosen]
