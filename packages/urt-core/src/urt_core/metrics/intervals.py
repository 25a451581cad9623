"""How sure a figure is: intervals of one accuracy, and of the difference between two judges on the same pairs."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from urt_core.errors import ConfigError


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927): stays inside [0, 1] and holds its level for small n."""
    if not 0 <= successes <= n:
        raise ConfigError(f"successes is {successes} of {n}; it must lie between 0 and n")
    z = _quantile(confidence)
    if n == 0:
        return 0.0, 1.0
    return _score_interval(successes / n, n, z)


def share_interval(share: float, variance: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson interval of a share whose variance is known, from clustered or weighted units: with n* = share (1 - share)
    / variance in place of n, the number of independent units that would have this variance (Korn and Graubard 1998,
    Survey Methodology 24, sec. 2). n* is at most `n`, the number of units; for independent units it is `n`, and this is
    `wilson_interval`.

    Where all clusters are alike the variance is 0: n* is `n`.
    """
    if n == 0:
        return 0.0, 1.0
    spread = share * (1 - share)
    effective = min(float(n), spread / variance) if variance > 0 and spread > 0 else float(n)
    return _score_interval(share, effective, _quantile(confidence))


def _score_interval(share: float, n: float, z: float) -> tuple[float, float]:
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At 0 and 1 one bound is exactly the share; rounding must not move it inside.
    low = 0.0 if share == 0 else (centre - half) / scale
    high = 1.0 if share == 1 else (centre + half) / scale
    return low, high


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """How much more often judge A is right than judge B on the same pairs.

    PairedDifference(difference=0.031, low=0.004, high=0.058, n=1250)
    """

    difference: float
    """Accuracy of A less accuracy of B."""
    low: float
    high: float
    n: int


def paired_bootstrap(
    correct_a: Sequence[bool],
    correct_b: Sequence[bool],
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Percentile interval of the accuracy difference (Efron 1979), resampling pairs and keeping both judges
    together."""
    n = require_same_length(correct_a, correct_b)
    _quantile(confidence)
    if n == 0 or num_resamples < 1:
        raise ConfigError(f"{n} pairs and {num_resamples} resamples; both must be at least 1")
    differences = [int(a) - int(b) for a, b in zip(correct_a, correct_b, strict=True)]
    # A resample of n differences is determined by how often -1, 0 and 1 are drawn.
    counts = [differences.count(value) for value in (-1, 0, 1)]
    draw = random.Random(seed)
    means = sorted(sum(draw.choices((-1, 0, 1), weights=counts, k=n)) / n for _ in range(num_resamples))
    tail = (1 - confidence) / 2
    low = means[math.floor(tail * (num_resamples - 1))]
    high = means[math.ceil((1 - tail) * (num_resamples - 1))]
    return PairedDifference(difference=sum(differences) / n, low=low, high=high, n=n)


def paired_difference(
    clusters: Sequence[tuple[tuple[int, int], tuple[int, int]]], *, confidence: float = 0.95
) -> PairedDifference:
    """Difference of two accuracies on the same items, each given as ((right of A, n of A), (right of B, n of B)) per
    item.

    The interval is normal, with the variance between items of the linearised difference of two ratios (Cochran 1977,
    Sampling Techniques, 6.11), so that judgements of one item may depend on each other.
    """
    if not clusters:
        raise ConfigError("no item to compare; give the items that both judges have judged")
    n_a, n_b = (sum(pair[side][1] for pair in clusters) for side in (0, 1))
    if not n_a or not n_b:
        raise ConfigError(
            "one of the judges has nothing that counts on these items; compare by a rule that counts them"
        )
    share_a, share_b = (sum(pair[side][0] for pair in clusters) / n for side, n in ((0, n_a), (1, n_b)))
    rests = [(a - share_a * m) / n_a - (b - share_b * k) / n_b for (a, m), (b, k) in clusters]
    half = _quantile(confidence) * math.sqrt(math.fsum(rest * rest for rest in rests))
    difference = share_a - share_b
    return PairedDifference(
        difference=difference, low=max(-1.0, difference - half), high=min(1.0, difference + half), n=len(clusters)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class McNemar:
    """Exact test of whether two judges differ: McNemar(n_only_a=12, n_only_b=3, p_value=0.035)."""

    n_only_a: int
    """Pairs that only judge A got right."""
    n_only_b: int
    p_value: float


def mcnemar(correct_a: Sequence[bool], correct_b: Sequence[bool]) -> McNemar:
    """Two-sided exact binomial test on the discordant pairs (McNemar 1947)."""
    require_same_length(correct_a, correct_b)
    pairs = list(zip(correct_a, correct_b, strict=True))
    only_a, only_b = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    n = only_a + only_b
    # Each coefficient from the one before: binomials of large n, one by one, would take minutes.
    term = tail = 1
    for k in range(min(only_a, only_b)):
        term = term * (n - k) // (k + 1)
        tail += term
    return McNemar(n_only_a=only_a, n_only_b=only_b, p_value=min(1.0, 2 * tail / 2**n))


def require_same_length(one: Sequence[object], two: Sequence[object]) -> int:
    """The length both sequences have."""
    if len(one) != len(two):
        raise ConfigError(f"{len(one)} values against {len(two)}; both sequences need one entry per pair")
    return len(one)


def _quantile(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"confidence is {confidence}; it must lie between 0 and 1, such as 0.95")
    return NormalDist().inv_cdf(0.5 + confidence / 2)
