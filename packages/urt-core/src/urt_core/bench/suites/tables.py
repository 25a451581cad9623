"""What the suites found, as tables."""

from collections.abc import Sequence

from urt_core.bench.rates import Rate
from urt_core.bench.suites.confidence import COVERAGES, Confidence
from urt_core.bench.suites.running import SuiteReport
from urt_core.bench.table import Table


def suite_tables(report: SuiteReport) -> list[Table]:
    return [findings_table(report), *([confidence_table(report.confidences)] if report.confidences else [])]


def findings_table(report: SuiteReport) -> Table:
    return Table(
        title=f"What moves the judge ({report.num_pairs} pairs)",
        columns=("suite", "found", "a steady judge", "of", "unreadable", "what is counted"),
        rows=tuple(
            (
                f"{finding.suite}: {finding.variant}",
                shown(finding.rate),
                "–" if finding.ideal is None else f"{100 * finding.ideal:.0f} %",
                str(finding.rate.n),
                percent(finding.unreadable),
                finding.asks,
            )
            for finding in report.findings
        ),
        notes=(
            "The candidate that did not win is favoured by something that says nothing about its quality; in brackets the 95 % interval "
            "(Wilson). Pairs that can't be changed in that way, and pairs without a verdict, are left out of the rate.",
        ),
    )


def confidence_table(confidences: Sequence[Confidence]) -> Table:
    return Table(
        title="Whether its confidence means what it says",
        columns=("probability by", "judgements", "ECE", "Brier", *(f"right, {share:.0%} kept" for share in COVERAGES)),
        rows=tuple(
            (
                found.method,
                str(found.n),
                f"{found.ece:.3f}",
                f"{found.brier:.3f}",
                *(f"{100 * right:.1f} %" for _, right in found.abstention),
            )
            for found in confidences
        ),
        notes=("ECE over ten bins; the last columns keep the most confident judgements and abstain on the rest.",),
    )


def percent(rate: Rate) -> str:
    return "–" if rate.value is None else f"{100 * rate.value:.1f} %"


def shown(rate: Rate) -> str:
    if rate.interval is None:
        return "–"
    low, high = rate.interval
    return f"{percent(rate)} ({100 * low:.1f}–{100 * high:.1f})"
