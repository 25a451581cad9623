"""Numbers in, inline SVG out: charts are said in Vega-Lite and drawn by vl-convert.

The SVG carries no `style` attribute and no script, so it passes the page's content security policy; its colours are the
style sheet's variables, so both themes work. Labels are data of a chart and reach the page as escaped text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import vl_convert
from markupsafe import Markup

Points = Sequence[tuple[float, float]]
Share = tuple[float, float, float]
"""A measured share with its interval: (value, low, high), each from 0 to 1."""

COLORS = ("var(--accent)", "var(--second)", "var(--third)", "var(--fourth)")
SVG = "http://www.w3.org/2000/svg"

NUMBERS = (
    "!datum.value ? '0' : abs(datum.value) < 1e-3 ? format(datum.value, '~e')"
    " : abs(datum.value) < 1e3 ? datum.label : format(datum.value, '~s')"
)
"""Labels of an axis: Vega-Lite's own between 0.001 and 1000, "1e-6" and "2.5k" outside."""

CONFIG: dict[str, Any] = {
    "background": None,
    "padding": {"left": 0, "top": 8, "right": 8, "bottom": 0},
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "domain": False,
        "ticks": False,
        "labelColor": "var(--soft)",
        "labelFontSize": 10.5,
        "labelPadding": 6,
        "gridColor": "var(--rule)",
        "title": None,
    },
    "axisX": {"grid": False, "labelAngle": 0, "labelFlush": False},
    "axisY": {"minExtent": 40},  # charts of a column start at one line
}


WIDTH = 282


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    title: str
    svg: Markup
    legend: tuple[tuple[str, str], ...] = ()
    """Label and last value of each curve."""


def line_chart(title: str, curves: Mapping[str, Points], *, width: int = WIDTH, height: int = 136) -> Chart:
    """Curves over the training step; a noisy one is drawn faintly under its moving average."""
    steps = [step for points in curves.values() for step, _ in points]
    single, smooth = {}, {}
    for label, points in curves.items():
        points = thin_out(points, limit=160)
        single[label] = points if is_noisy(points) else []
        smooth[label] = moving_average(points) if is_noisy(points) else points
    place = {
        "x": {
            "field": "step",
            "type": "quantitative",
            "scale": {"domain": [min(steps), max(steps)]},
            "axis": {"tickCount": 5, "labelExpr": NUMBERS},
        },
        "y": {
            "field": "value",
            "type": "quantitative",
            "scale": {"nice": 4, "zero": False},
            "axis": {"tickCount": 4, "labelExpr": NUMBERS},
        },
        "color": _one_each("color", list(curves), COLORS),
        "strokeDash": _one_each("strokeDash", list(curves), ([], [], [], [], [5, 3], [2, 3], [8, 3, 2, 3], [1, 4])),
    }
    line = {"type": "line", "strokeCap": "round", "strokeJoin": "round"}
    layers = [
        {"data": {"values": _rows(single)}, "mark": line | {"strokeWidth": 1, "opacity": 0.32}, "encoding": place},
        {"data": {"values": _rows(smooth)}, "mark": line | {"strokeWidth": 2}, "encoding": place},
    ]
    summary = "; ".join(
        f"{label or title}: from {short_number(points[0][1])} to {short_number(points[-1][1])} over {len(points)} values"
        for label, points in curves.items()
    )
    return Chart(
        title=title,
        svg=_draw({"width": width, "height": height, "layer": layers}, summary=f"{title}. {summary}"),
        legend=tuple((label, short_number(points[-1][1])) for label, points in smooth.items()),
    )


def stage_chart(
    title: str,
    stages: Sequence[str],
    series: Mapping[str, Sequence[Share | None]],
    *,
    height: int = 164,
) -> Chart:
    """Shares after each stage, 0 to 100 %, one series per way of answering; None where not measured."""
    rows = [
        {
            "stage": stage,
            "series": label,
            "value": 100 * share[0],
            "low": 100 * share[1],
            "high": 100 * share[2],
            "text": f"{100 * share[0]:.0f}",
            "said": f"{stage}, {label}: {100 * share[0]:.1f} % ({100 * share[1]:.1f}–{100 * share[2]:.1f})",
        }
        for label, shares in series.items()
        for stage, share in zip(stages, shares, strict=True)
        if share is not None
    ]
    axis = {
        "field": "value",
        "type": "quantitative",
        "scale": {"domain": [0, 100]},
        "axis": {"values": [0, 25, 50, 75, 100]},
    }
    # Side by side, so that the whiskers of two series never cover each other.
    place = {
        "x": {
            "field": "stage",
            "type": "nominal",
            "sort": None,
            "scale": {"domain": list(stages), "paddingInner": 0.6, "paddingOuter": 0.3},
            "axis": {"labelExpr": "split(datum.label, ' ', 2)", "labelLimit": 0},
        },
        "xOffset": {"field": "series", "type": "nominal", "scale": {"domain": list(series)}},
        "color": _one_each("color", list(series), COLORS),
    }
    spread = place | {"y": axis | {"field": "low"}, "y2": {"field": "high"}}
    dot = place | {
        "y": axis,
        "fill": _one_each("fill", list(series), (COLORS[0], "var(--paper)", *COLORS[2:])),
        "description": {"field": "said"},
    }
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": [{"value": 50}]},
            "mark": {"type": "rule", "color": "var(--soft)", "strokeDash": [3, 3]},
            "encoding": {"y": axis},
        },
        {"mark": {"type": "line", "strokeWidth": 1.5, "opacity": 0.45}, "encoding": place | {"y": axis}},
        {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": spread},
        {"mark": {"type": "point", "size": 50, "strokeWidth": 2, "opacity": 1}, "encoding": dot},
    ]
    layers += [
        {
            "transform": [{"filter": {"field": "series", "equal": label}}],
            "mark": {"type": "text", "align": "right" if number == 0 else "left", "dx": -8 if number == 0 else 8}
            | {"fontSize": 10.5, "fontWeight": 600},
            "encoding": place | {"y": axis, "text": {"field": "text"}},
        }
        for number, label in enumerate(series)
    ]
    spec = {"width": WIDTH, "height": height, "data": {"values": rows}, "layer": layers}
    return Chart(title=title, svg=_draw(spec, summary=f"{title}: {'; '.join(str(row['said']) for row in rows)}"))


def span_chart(title: str, rows: Sequence[str], spans: Sequence[tuple[str, str, float, float]]) -> Chart:
    """(row, text of the span, start, end) in seconds: a bar for each span on its row, a row's bars in one colour."""
    bars = [
        {"series": row, "start": start, "end": end, "said": f"{row}, {text}: {start:.1f} to {end:.1f} s"}
        for row, text, start, end in spans
    ]
    place = {
        "x": {
            "field": "start",
            "type": "quantitative",
            "scale": {"zero": False, "nice": False},
            "axis": {"tickCount": 8, "labelExpr": NUMBERS},
        },
        "x2": {"field": "end"},
        "y": {"field": "series", "type": "nominal", "sort": None, "scale": {"domain": list(rows)}},
        "color": _one_each("color", list(rows), COLORS),
        "description": {"field": "said"},
    }
    mark = {"type": "bar", "height": {"band": 0.7}, "stroke": "var(--paper)", "strokeWidth": 1}
    spec = {"width": 640, "height": 30 * len(rows), "data": {"values": bars}, "mark": mark, "encoding": place}
    return Chart(title=title, svg=_draw(spec, summary=f"{title}: {'; '.join(str(bar['said']) for bar in bars)}"))


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


def _rows(curves: Mapping[str, Points]) -> list[dict[str, Any]]:
    return [
        {"step": step, "value": value, "series": label} for label, points in curves.items() for step, value in points
    ]


def _one_each(channel: str, labels: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """`channel` tells the series apart: the first gets the first of `values`, those past the end the last."""
    chosen = [values[min(number, len(values) - 1)] for number in range(len(labels))]
    return {"field": "series", "type": "nominal", "scale": {"domain": list(labels), "range": chosen}, "legend": None}


def _draw(spec: dict[str, Any], *, summary: str) -> Markup:
    """SVG that fills its column. `summary` is for people who don't see it; what a mark says shows under the pointer."""
    drawn = vl_convert.vegalite_to_svg(spec, config=CONFIG, allowed_base_urls=[])
    ElementTree.register_namespace("", SVG)
    picture = ElementTree.fromstring(drawn)
    for mark in picture.iter():
        said = mark.attrib.pop("aria-label", None)
        role = mark.attrib.pop("aria-roledescription", None)
        if said and role in ("point", "bar"):
            ElementTree.SubElement(mark, f"{{{SVG}}}title").text = said
    del picture.attrib["width"], picture.attrib["height"]
    picture.set("role", "img")
    picture.set("aria-label", summary)
    return Markup(ElementTree.tostring(picture, encoding="unicode"))
