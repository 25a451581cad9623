"""`make attack` in short: every door, a quarter of the costly media, the server under a part of what holds one up."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from tests.attack import __main__ as program
from tests.attack.fuzzers import fuzz, make
from tests.attack.matrix import ROWS
from tests.attack.readers import READERS, outcome
from tests.attack.structures import MAKERS_OF

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("door", READERS)
def test_every_door_gives_results_and_errors_of_ours(door: str) -> None:
    """Both ends occur, or the maker tests nothing."""
    found = fuzz(door, 80, seed=1)
    assert found.faults == []
    assert found.results
    assert found.typed or door in ("rows", "judgement"), "these two name what they can't read in what they return"


def test_what_is_cut_off_at_every_byte_is_a_result_or_an_error_of_ours() -> None:
    found = program.truncations(1)
    assert found.faults == []
    assert min(found.results, found.typed, found.cases - 4000) > 0


def test_a_case_is_found_again_by_its_number() -> None:
    assert MAKERS_OF.keys() == READERS.keys()
    assert [make("shard", 3, number) for number in range(20)] == [make("shard", 3, number) for number in range(20)]


def test_a_fault_is_told_once_and_counted() -> None:
    def broken(data: bytes) -> object:
        raise KeyError(data[:1])

    kept = READERS["rows"]
    READERS["rows"] = broken
    try:
        found = fuzz("rows", 20, seed=1)
    finally:
        READERS["rows"] = kept
    assert len(found.faults) == 1
    assert "KeyError" in found.faults[0]
    with pytest.raises(KeyError):
        outcome(broken, b"x")


def test_media_that_cost_more_than_they_weigh(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is not installed; it is the extra urt-core[video]")
    with redirect_stdout(io.StringIO()) as printed:
        costs = program.media(tmp_path, is_short=True)
    assert len(costs) >= 6
    assert not [cost for cost in costs if cost.is_fault], printed.getvalue()


def test_the_server_under_attack() -> None:
    with redirect_stdout(io.StringIO()) as printed:
        found = program.server(is_short=True)
    assert not [one for one in found if one.faults], printed.getvalue()
    assert sum(one.cases for one in found) > 800


def test_every_threat_has_its_tests() -> None:
    assert [row.number for row in ROWS] == list(range(1, 21))
    for row in ROWS:
        assert row.tests
        assert set(row.fuzzers) <= READERS.keys()
        for test in row.tests:
            path, _, name = test.partition("::")
            assert (ROOT / path).exists(), test
            assert not name or f"def {name.partition('[')[0]}(" in (ROOT / path).read_text(encoding="utf-8"), test


def test_tests_of_a_row_are_counted(tmp_path: Path) -> None:
    counts = program.counted(["tests/urt_core/judgement/test_json_object.py"])
    assert counts
    cases, faults, skipped = program.tally(
        program.Row(1, "a", "b", ("tests/urt_core/judgement/test_json_object.py",)), counts, {}
    )
    assert (cases, faults, skipped) == (sum(number for number, _ in counts.values()), [], 0)
    _, missing, _ = program.tally(program.Row(1, "a", "b", ("tests/nothing.py",)), counts, {})
    assert missing == ["tests/nothing.py: no test of that name"]
