"""What is scored, and from where to where."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class PointScale:
    """What a contract scores in a task: PointScale(low=1.0, high=5.0, dimensions=("alignment", "coherence",
    "style"))."""

    low: float
    high: float
    dimensions: tuple[str, ...] = ()
    """Dimensions that must be scored on this scale, in lower case."""
