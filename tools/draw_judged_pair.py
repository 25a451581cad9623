"""Judge the first pair of urt_core/example and draw it: python tools/draw_judged_pair.py docs/images/judged-pair.svg"""

import base64
import json
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree

from urt_core import Comparison, Preference, Scorer
from urt_core.comparison import Order
from urt_core.example import FOLDER, JUDGE, PAIRS

WIDTH, MARGIN, IMAGE = 920, 20, (256, 192)
TEXT_X, TEXT_Y, LINE = 2 * MARGIN + 2 * IMAGE[0] + 20, 72, 16
SANS = "font-family: -apple-system, Segoe UI, Helvetica, Arial, sans-serif"
MONO = "font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 11px; white-space: pre"


def judged() -> tuple[str, list[str], Comparison]:
    """Caption, the two files and what the tiny judge says of them."""
    row = json.loads(PAIRS.read_text(encoding="utf-8").splitlines()[0])
    files = [str(FOLDER / row[side]) for side in ("first", "second")]
    with_judge = Scorer.from_pretrained(JUDGE)
    return row["text"], files, with_judge.compare(task=row["task"], text=row["text"], first=files[0], second=files[1])


def words(parent: ElementTree.Element, x: float, y: float, text: str, style: str, fill: str = "#1f2328") -> None:
    ElementTree.SubElement(parent, "text", {"x": str(x), "y": str(y), "style": style, "fill": fill}).text = text


def drawn(caption: str, files: list[str], comparison: Comparison) -> str:
    text = next(vote.completion.text for vote in comparison.votes if vote.order is Order.GIVEN)
    lines = [
        piece for line in text.strip().splitlines() for piece in textwrap.wrap(line, 50, subsequent_indent="  ") or [""]
    ]
    height = max(406, TEXT_Y + MARGIN + len(lines) * LINE)
    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH} {height}",
            "width": str(WIDTH),
            "role": "img",
            "aria-label": f"Two pictures, and the judgement of the tiny judge on which fits the caption: {caption}",
        },
    )
    ElementTree.SubElement(
        svg, "rect", {"width": str(WIDTH), "height": str(height), "rx": "8", "fill": "#ffffff", "stroke": "#d0d7de"}
    )
    words(svg, MARGIN, 40, f"“{caption}”", f"{SANS}; font-size: 17px; font-weight: 600")
    for number, (file, preferred) in enumerate(zip(files, (Preference.FIRST, Preference.SECOND), strict=True)):
        x = MARGIN + number * (IMAGE[0] + 20)
        place = {"x": str(x), "y": "60", "width": str(IMAGE[0]), "height": str(IMAGE[1])}
        encoded = base64.b64encode(Path(file).read_bytes()).decode()
        ElementTree.SubElement(
            svg, "image", place | {"href": f"data:image/png;base64,{encoded}", "style": "image-rendering: pixelated"}
        )
        is_better = comparison.preference is preferred
        border = {"fill": "none", "stroke": "#1a7f37" if is_better else "#d0d7de", "stroke-width": "4"}
        ElementTree.SubElement(svg, "rect", place | border)
        label = f"Image {number + 1}{' is better' if is_better else ''}"
        words(svg, x, 276, label, f"{SANS}; font-size: 14px; font-weight: 600", "#1a7f37" if is_better else "#59636e")
    for number, (name, (first, second)) in enumerate(comparison.scores.items()):
        y = 314 + 20 * number
        words(svg, MARGIN, y, name, f"{SANS}; font-size: 13px", "#59636e")
        words(svg, MARGIN + 180, y, f"{first:g} : {second:g}", f"{SANS}; font-size: 13px; font-weight: 600")
    agreed = "both orders agree" if comparison.position_consistent else "the orders disagree"
    words(svg, MARGIN, 386, f"asked in both orders: {agreed}", f"{SANS}; font-size: 13px", "#59636e")
    for number, line in enumerate(lines):
        words(svg, TEXT_X, TEXT_Y + number * LINE, line, MONO)
    ElementTree.indent(svg)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def main(output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(drawn(*judged()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
