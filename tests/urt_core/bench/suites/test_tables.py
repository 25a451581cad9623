"""What the suites found, as a table with the numbers of the findings."""

from urt_core.bench.rates import NOT_MEASURED, Rate
from urt_core.bench.suites import SuiteReport
from urt_core.bench.suites.confidence import COVERAGES, Confidence
from urt_core.bench.suites.running import Finding
from urt_core.bench.suites.tables import suite_tables

MOVED = Finding(
    suite="style", variant="border", asks="a framed loser wins", ideal=0.0, rate=Rate(successes=8, n=10),
    unreadable=Rate(successes=1, n=11),
)  # fmt: skip
NOTHING = Finding(
    suite="length",
    variant="verbose",
    asks="a longer loser wins",
    ideal=None,
    rate=NOT_MEASURED,
    unreadable=NOT_MEASURED,
)
CONFIDENCE = Confidence(
    method="margin", n=96, ece=0.08125, brier=0.0905, bins=(), abstention=tuple((share, 0.875) for share in COVERAGES)
)


def test_a_rate_stands_with_its_interval_and_what_was_not_measured_is_a_dash() -> None:
    [table] = suite_tables(SuiteReport(model="m", num_pairs=12, findings=(MOVED, NOTHING), confidences=()))
    assert "(12 pairs)" in table.title
    low, high = MOVED.rate.interval or (0.0, 0.0)
    assert table.rows == (
        ("style: border", f"80.0 % ({100 * low:.1f}–{100 * high:.1f})", "0 %", "10", "9.1 %", "a framed loser wins"),
        ("length: verbose", "–", "–", "0", "–", "a longer loser wins"),
    )


def test_confidence_has_a_table_of_its_own_with_a_column_for_each_share_kept() -> None:
    _, table = suite_tables(SuiteReport(model="m", num_pairs=12, findings=(MOVED,), confidences=(CONFIDENCE,)))
    assert table.columns[4:] == ("right, 100% kept", "right, 90% kept", "right, 80% kept", "right, 70% kept", "right, 60% kept", "right, 50% kept")  # fmt: skip
    assert table.rows == (("margin", "96", "0.081", "0.090", *["87.5 %"] * 6),)
