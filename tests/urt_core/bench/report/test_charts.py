"""Charts: marks stand where their numbers say, in colours of the style sheet, and labels stay text."""

import re
from xml.etree import ElementTree

import pytest

from urt_core.bench.report.charts import (
    COLORS,
    Chart,
    is_noisy,
    line_chart,
    moving_average,
    short_number,
    stage_chart,
    thin_out,
)

SVG = "{http://www.w3.org/2000/svg}"


def parts(chart: Chart) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(chart.svg).iter())


def marks(chart: Chart, kind: str) -> list[ElementTree.Element]:
    """What is drawn in the groups of this kind of mark, axes aside."""
    groups = [part for part in parts(chart) if f"mark-{kind} role-mark" in part.get("class", "")]
    return [mark for group in groups for mark in group]


def corners(path: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+),(-?[\d.]+)", path.get("d", ""))]


def labels(chart: Chart, axis: int) -> list[str]:
    """Of axis 0 (x) or 1 (y)."""
    groups = [part for part in parts(chart) if "mark-text role-axis-label" in part.get("class", "")]
    return ["".join(text.itertext()) for text in groups[axis]]


def test_a_curve_goes_from_corner_to_corner_of_its_range():
    chart = line_chart("Loss", {"": [(0.0, 1.0), (5.0, 0.5), (10.0, 0.0)]}, width=100, height=80)
    assert [corners(path) for path in marks(chart, "line")] == [[(0, 0), (50, 40), (100, 80)]]
    assert labels(chart, 0)[0] == "0"
    assert labels(chart, 0)[-1] == "10"
    assert [float(label) for label in labels(chart, 1)] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert chart.legend == (("", "0"),)


@pytest.mark.parametrize(
    ("top", "shown"), [(1e-6, "1e-6"), (0.5, "0.5"), (40.0, "40"), (2500.0, "2.5k"), (4_000_000.0, "4M")]
)
def test_numbers_of_an_axis_are_short(top, shown):
    assert labels(line_chart("Any", {"": [(0.0, 0.0), (1.0, top)]}), 1)[-1] == shown


def test_a_noisy_curve_is_drawn_twice_and_a_calm_one_once():
    jagged = [(float(n), float(n % 2)) for n in range(100)]
    calm = [(float(n), n / 100) for n in range(100)]
    lines = marks(line_chart("Reward", {"jagged": jagged, "calm": calm}), "line")
    faint = [line for line in lines if line.get("opacity") == "0.32"]
    assert (len(lines), len(faint)) == (3, 1)
    assert len(corners(faint[0])) == 100
    low, high = min(y for _, y in corners(faint[0])), max(y for _, y in corners(faint[0]))
    smooth = next(line for line in lines if line is not faint[0] and line.get("stroke") == faint[0].get("stroke"))
    assert max(y for _, y in corners(smooth)) - min(y for _, y in corners(smooth)) < (high - low) / 5


def test_curves_differ_in_colour_and_past_the_fourth_in_their_dashes():
    curves = {f"part {n}": [(0.0, float(n)), (1.0, n + 1.0)] for n in range(6)}
    chart = line_chart("Seconds", curves)
    looks = [(line.get("stroke"), line.get("stroke-dasharray")) for line in marks(chart, "line")]
    assert len(set(looks)) == 6
    assert {color for color, _ in looks} == set(COLORS)
    assert chart.legend == tuple((f"part {n}", str(n + 1)) for n in range(6))


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, 1e-9])
def test_a_constant_curve_is_a_level_line(value):
    (line,) = marks(line_chart("Any", {"": [(float(n), value) for n in range(5)]}), "line")
    assert len({y for _, y in corners(line)}) == 1


def test_shares_stand_at_their_height_with_their_interval():
    series = {"reasoning": [(0.75, 0.5, 1.0), (0.25, 0.0, 0.5)], "direct": [None, (0.5, 0.4, 0.6)]}
    chart = stage_chart("All", ["Base", "Cold start"], series, height=200)
    places = [re.findall(r"[\d.]+", dot.get("transform", "")) for dot in marks(chart, "symbol")]
    assert [float(y) for _, y in places] == [50, 150, 100]
    xs = [float(x) for x, _ in places]
    assert xs[0] < xs[1] < xs[2]
    whiskers = [rule for rule in marks(chart, "rule") if rule.get("stroke-width") == "2"]
    assert [float(r.get("y2", 0)) for r in whiskers] == pytest.approx([-100, -100, -40])
    assert [float(re.findall(r"[\d.]+", r.get("transform", ""))[1]) for r in whiskers] == pytest.approx([100, 200, 120])
    said = [title.text for title in parts(chart) if title.tag == f"{SVG}title"]
    assert said == [
        "Base, reasoning: 75.0 % (50.0–100.0)",
        "Cold start, reasoning: 25.0 % (0.0–50.0)",
        "Cold start, direct: 50.0 % (40.0–60.0)",
    ]
    assert ["".join(text.itertext()) for text in marks(chart, "text")] == ["75", "25", "50"]


def test_a_picture_says_what_it_shows_and_takes_its_colours_from_the_page():
    chart = stage_chart("All", ["Base"], {"direct": [(0.5, 0.4, 0.6)]})
    root = parts(chart)[0]
    assert (root.get("role"), root.get("aria-label")) == ("img", "All: Base, direct: 50.0 % (40.0–60.0)")
    assert root.get("width") is None
    paints = {part.get(name) for part in parts(chart) for name in ("fill", "stroke")} - {None, "none", "transparent"}
    assert {paint for paint in paints if paint and not paint.startswith("var(--")} <= {"#000"}
    assert not any("style" in part.attrib for part in parts(chart))
    assert line_chart("Loss", {"": [(0.0, 2.0), (1.0, 1.0)]}).svg.count("Loss: from 2 to 1 over 2 values") == 1


def test_labels_stay_text():
    hostile = '</text><script>alert(1)</script>\' onload="x" &lt; {{ 1 }}'
    chart = stage_chart(hostile, [hostile], {hostile: [(0.5, 0.4, 0.6)]})
    assert not [part.tag for part in parts(chart) if part.tag.endswith("script")]
    assert not any(name.startswith("on") for part in parts(chart) for name in part.attrib)
    assert any(hostile in (part.text or "") for part in parts(chart))
    assert "onload=" not in line_chart(hostile, {hostile: [(0.0, 1.0), (1.0, 2.0)]}).svg.replace("onload=&quot;", "")


def test_curves_are_smoothed_only_where_they_are_noisy():
    rising = [(float(n), float(n)) for n in range(100)]
    jagged = [(float(n), float(n % 2)) for n in range(100)]
    assert not is_noisy(rising)
    assert is_noisy(jagged)
    assert moving_average(jagged)[50][1] == pytest.approx(0.5, abs=0.05)
    assert thin_out(rising, limit=10)[0] == (4.5, 4.5)


def test_numbers_are_short():
    values = (0.0, 0.25, 2500.0, 1e-06, 3.14159, -12.0)
    assert [short_number(value) for value in values] == ["0", "0.25", "2.5k", "1e-6", "3.14", "-12"]
