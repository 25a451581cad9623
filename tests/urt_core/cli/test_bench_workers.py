"""`--workers` of the bench commands: any number of processes finds the same, and asks no more than one would."""

import json
from pathlib import Path

import pytest

from tests.urt_core.cli.test_bench_run import labelled_pairs
from urt_core.judging.journal import newest_lines, parts_of


@pytest.fixture
def pairs(picture, tmp_path) -> str:
    return labelled_pairs(picture, tmp_path)


def suites(folder: Path) -> dict:
    return json.loads((folder / "suites.json").read_text())


def lines(folder: Path) -> list[str]:
    return [json.dumps(line) for line in newest_lines(parts_of(folder))]


def test_suites_of_any_number_of_processes_find_the_same(urt_process, endpoint, pairs, tmp_path) -> None:
    command = ("bench", "suites", "--data", pairs, "--output")
    one, three = tmp_path / "one", tmp_path / "three"
    assert urt_process(*command, one).returncode == 0
    asked = endpoint.num_requests
    done = urt_process(*command, three, "--workers", 3)
    assert done.returncode == 0, done.stderr
    assert endpoint.num_requests == 2 * asked
    assert suites(one) == suites(three)
    assert (one / "suites.md").read_bytes() == (three / "suites.md").read_bytes()
    assert lines(one) == lines(three)
    parts = [path.read_text().count("\n") for path in parts_of(three)]
    assert len(parts) == 3
    assert min(parts) > 30
    # One process goes on with what three have left, and has nothing to ask.
    before = endpoint.num_requests
    assert urt_process(*command, three).returncode == 0
    assert endpoint.num_requests == before


def test_a_process_that_fails_ends_the_command(urt_process, pairs, tmp_path) -> None:
    (tmp_path / "run" / "parts" / "rank-0001.seconds").mkdir(parents=True)  # where it is to write a file
    done = urt_process("bench", "suites", "--data", pairs, "--output", tmp_path / "run", "--workers", 2)
    assert done.returncode == 1
    assert "process 1 of 2 ended with code 1; what was judged is kept" in done.stderr


def test_workers_of_one_command_give_the_same_lines(urt_process, endpoint, pairs, tmp_path) -> None:
    command = ("bench", "run", "--benchmark", "pairs", "--data", pairs, "--max-failures", 1, "--output")
    assert urt_process(*command, tmp_path / "one").returncode == 0
    done = urt_process(*command, tmp_path / "three", "--workers", 3)
    assert done.returncode == 0, done.stderr
    assert endpoint.num_requests == 2 * 20
    one, three = ((tmp_path / name / "judgements.jsonl").read_bytes() for name in ("one", "three"))
    assert one == three
    assert len(list((tmp_path / "three" / "parts").glob("*.jsonl"))) == 3
