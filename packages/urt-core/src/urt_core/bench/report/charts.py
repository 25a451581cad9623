"""Numbers in, the geometry of small charts out; `templates/charts.svg.j2` draws them as inline SVG.

Nothing here makes markup: labels reach the page through the template's autoescape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """Tick(at=42.0, label="200"): `at` in chart units along its axis."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A polyline with its own colour number: Line(path="M40,10 L52,14", faint="M40,12 L41,9", label="policy",
    color=1)."""

    path: str
    """The smoothed curve, or the curve itself where it has few points."""
    faint: str
    """The single values behind a smoothed curve; empty where `path` shows them all."""
    label: str
    color: int
    last: str
    """The last value as text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LineChart:
    title: str
    summary: str
    """One sentence for people who don't see the curve."""
    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Whisker:
    """A measured share with its interval: Whisker(x=60, y=31.2, low=40.1, high=25.0, label="93 %", title="GRPO: 93.0 %
    (86–97)")."""

    x: float
    y: float
    low: float
    high: float
    label: str
    label_side: int
    """-1: the label stands to the left of the dot, 1: to the right."""
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSeries:
    label: str
    color: int
    path: str
    whiskers: tuple[Whisker, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageChart:
    title: str
    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    chance: float
    series: tuple[StageSeries, ...]


Points = Sequence[tuple[float, float]]


def line_chart(title: str, curves: Mapping[str, Points], *, width: int = 340, height: int = 170) -> LineChart:
    """Curves over the training step; a noisy one is drawn faintly under its moving average."""
    left, right, top, bottom = 46.0, width - 12.0, 12.0, height - 22.0
    xs = [x for points in curves.values() for x, _ in points]
    ys = [y for points in curves.values() for _, y in points]
    x_marks, y_marks = round_ticks(min(xs), max(xs), count=5), round_ticks(min(ys), max(ys), count=4)
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)
    y_low, y_high = min(min(ys), y_marks[0]), max(max(ys), y_marks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        return _scale(x, x_low, x_high, left, right), _scale(y, y_low, y_high, bottom, top)

    lines = []
    for color, (label, points) in enumerate(curves.items(), start=1):
        points = thin_out(points, limit=160)
        smooth = moving_average(points) if is_noisy(points) else points
        lines.append(
            Line(
                path=_path([place(x, y) for x, y in smooth]),
                faint=_path([place(x, y) for x, y in points]) if smooth is not points else "",
                label=label,
                color=color,
                last=short_number(smooth[-1][1]),
            )
        )
    return LineChart(
        title=title,
        summary="; ".join(
            f"{label or title}: from {short_number(points[0][1])} to {short_number(points[-1][1])} over {len(points)} values"
            for label, points in curves.items()
        ),
        width=width,
        height=height,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        x_ticks=tuple(
            Tick(at=place(x, y_low)[0], label=tick_label(x, x_marks)) for x in x_marks if x_low <= x <= x_high
        ),
        y_ticks=tuple(Tick(at=place(x_low, y)[1], label=tick_label(y, y_marks)) for y in y_marks),
        lines=tuple(lines),
    )


def stage_chart(
    title: str,
    stages: Sequence[str],
    series: Mapping[str, Sequence[tuple[float, float, float] | None]],
    *,
    width: int = 340,
    height: int = 210,
) -> StageChart:
    """Shares (value, low, high) after each stage, 0 to 100 %, one series per way of answering; None where not
    measured."""
    left, right, top, bottom = 40.0, width - 8.0, 16.0, height - 30.0
    step = (right - left) / max(1, len(stages))

    def height_of(share: float) -> float:
        return _scale(share, 0.0, 1.0, bottom, top)

    drawn = []
    for number, (label, shares) in enumerate(series.items()):
        # Side by side, so that the whiskers of two series never cover each other.
        offset = (number - (len(series) - 1) / 2) * 16
        places = [left + step * (position + 0.5) + offset for position in range(len(stages))]
        whiskers = tuple(
            Whisker(
                x=x,
                y=height_of(share[0]),
                low=height_of(share[1]),
                high=height_of(share[2]),
                label=f"{100 * share[0]:.0f}",
                label_side=-1 if number == 0 else 1,
                title=f"{stage}, {label}: {100 * share[0]:.1f} % ({100 * share[1]:.1f}–{100 * share[2]:.1f})",
            )
            for stage, x, share in zip(stages, places, shares, strict=True)
            if share is not None
        )
        path = _path([(whisker.x, whisker.y) for whisker in whiskers])
        drawn.append(StageSeries(label=label, color=number + 1, path=path, whiskers=whiskers))
    return StageChart(
        title=title,
        width=width,
        height=height,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        x_ticks=tuple(Tick(at=left + step * (n + 0.5), label=stage) for n, stage in enumerate(stages)),
        y_ticks=tuple(Tick(at=height_of(share), label=f"{100 * share:.0f}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)),
        chance=height_of(0.5),
        series=tuple(drawn),
    )


def round_ticks(low: float, high: float, *, count: int) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten apart) that span [low, high].

    >>> round_ticks(0.13, 2.6, count=4)
    [0.0, 1.0, 2.0, 3.0]
    """
    if high <= low:
        span = abs(low) or 1.0
        low, high = low - span / 2, high + span / 2
    rough = (high - low) / max(1, count - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def moving_average(points: Points) -> list[tuple[float, float]]:
    """Mean over a centred window of a tenth of the points, cut off where the data end."""
    half = max(1, len(points) // 20)
    values = [y for _, y in points]
    windows = [values[max(0, index - half) : index + half + 1] for index in range(len(points))]
    return [(x, sum(window) / len(window)) for (x, _), window in zip(points, windows, strict=True)]


def is_noisy(points: Points) -> bool:
    """The curve goes up and down much more than from one end of its range to the other."""
    values = [y for _, y in points]
    travelled = sum(abs(after - before) for before, after in pairwise(values))
    return len(points) > 24 and travelled > 3 * (max(values) - min(values))


def thin_out(points: Points, *, limit: int) -> list[tuple[float, float]]:
    """At most `limit` points: means over equal runs of neighbours."""
    if len(points) <= limit:
        return list(points)
    edges = [round(number * len(points) / limit) for number in range(limit + 1)]
    runs = [points[start:end] for start, end in pairwise(edges)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def tick_label(value: float, marks: Sequence[float]) -> str:
    """As many decimals as tell the marks apart.

    >>> tick_label(1.0, [0.998, 1.0, 1.002]), tick_label(20.0, [0.0, 20.0])
    ('1.000', '20')
    """
    step = marks[1] - marks[0]
    if step < 1e-3 or abs(value) >= 1000:
        return short_number(value)
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def short_number(value: float) -> str:
    """
    >>> [short_number(value) for value in (0.0, 0.25, 12.0, 2500.0, 1e-06, 3.14159)]
    ['0', '0.25', '12', '2.5k', '1e-6', '3.14']
    """
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= limit:
                return f"{value / limit:.3g}{unit}"
    if abs(value) < 0.001:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.3g}"


def _scale(value: float, low: float, high: float, start: float, end: float) -> float:
    return round(start + (value - low) / (high - low) * (end - start), 2)


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{'L' if index else 'M'}{x:g},{y:g}" for index, (x, y) in enumerate(places))
