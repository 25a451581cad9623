"""The benchmark's results as rows, and the rows as CSV, Markdown and a plot."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from html import escape
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One implementation in one mode on one case; None is what was not measured or does not apply.

    >>> Row(case="token_logprobs 8192 x 152064 bf16 peaked", mode="forward", implementation="urt triton", median_ms=0.91,
    ...     low_ms=0.90, high_ms=0.93, rate="2740 GB/s", share=0.93, speed_up=14.1, extra_mib=0.1, error=4e-6,
    ...     gradient_error=None, repeatable=True, batch_invariant=True, passed=True, note="")
    """

    case: str
    mode: str
    implementation: str
    median_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    rate: str = ""
    share: float | None = None
    """Of the measured ceiling."""
    speed_up: float | None = None
    """Over the eager implementation."""
    extra_mib: float | None = None
    error: float | None = None
    gradient_error: float | None = None
    repeatable: bool | None = None
    batch_invariant: bool | None = None
    passed: bool | None = None
    """Of the gates; None for a peer."""
    note: str = ""


def write_csv(rows: Sequence[Row], file: Path, *, header: dict[str, str]) -> None:
    """Each line repeats the machine, so that lines of different runs can be told apart in one table."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Row)] + list(header))
        writer.writeheader()
        writer.writerows({**asdict(row), **header} for row in rows)


def markdown(rows: Sequence[Row], *, header: dict[str, str]) -> str:
    lines = [f"- {name}: {value}" for name, value in header.items()]
    for case in dict.fromkeys(row.case for row in rows):
        lines += ["", f"**{case}**", ""]
        lines += [
            "| mode | implementation | ms p50 [p20, p80] | rate | share of ceiling | speed-up | extra MiB | max error | gradient error | repeatable | batch-invariant | note |"
        ]
        lines += ["| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
        lines += [_line(row) for row in rows if row.case == case]
    return "\n".join(lines) + "\n"


def write_plot(rows: Sequence[Row], file: Path) -> None:
    """A bar per timed row: its share of the measured ceiling, ours in colour."""
    timed = [row for row in rows if row.share is not None]
    height, top, bar = 16, 24, 560
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="{top + height * len(timed) + 10}" '
        'font-family="sans-serif" font-size="10">',
        '<text x="8" y="14" font-size="12">Share of the ceiling measured in the same run</text>',
    ]
    for index, row in enumerate(timed):
        share, y = row.share or 0.0, top + height * index
        colour = "#2a6f97" if row.implementation.startswith("urt") else "#b0b7bf"
        label = escape(f"{row.case} · {row.mode} · {row.implementation}")
        parts += [
            f'<rect x="400" y="{y}" width="{bar * min(share, 1.0):.1f}" height="{height - 4}" fill="{colour}"/>',
            f'<text x="394" y="{y + 9}" text-anchor="end">{label}</text>',
            f'<text x="{404 + bar * min(share, 1.0):.1f}" y="{y + 9}">{share:.0%}</text>',
        ]
    file.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _line(row: Row) -> str:
    time = "" if row.median_ms is None else f"{row.median_ms:.3f} [{row.low_ms:.3f}, {row.high_ms:.3f}]"
    cells = [
        row.mode,
        row.implementation,
        time or "not measured",
        row.rate,
        "" if row.share is None else f"{row.share:.0%}",
        "" if row.speed_up is None else f"{row.speed_up:.1f}",
        "" if row.extra_mib is None else f"{row.extra_mib:.0f}",
        "" if row.error is None else f"{row.error:.1e}",
        "" if row.gradient_error is None else f"{row.gradient_error:.1e}",
        _yes(row.repeatable),
        _yes(row.batch_invariant),
        row.note,
    ]
    return "| " + " | ".join(cells) + " |"


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"
