"""`--workers` of the bench commands: any number of processes finds the same, and asks no more than one would."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.urt_core.cli.bench.test_run import labelled_pairs
from tests.urt_core.cli.conftest import answer, judgement
from urt_core.judging.journal import newest_lines, parts_of

MAX_TOKENS, ANSWER = 4000, 100 + len(judgement(9, 4)) // 4
"""A budget, and what the scripted endpoint takes for one answer."""


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
    # Whoever finds nothing left to ask is done.
    assert urt_process(*command, tmp_path / "three", "--workers", 2).returncode == 0
    assert endpoint.num_requests == 2 * 20


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_budget_is_one_over_all_processes_and_over_runs(
    urt_process, endpoint, picture, tmp_path, concurrency
) -> None:
    """What was in flight when it ran out is paid beyond it: at most `--concurrency` answers in each process."""
    paid: list[int] = []

    def slow(request):
        reply = answer(request)
        paid.append(sum(json.loads(reply.body)["usage"][name] for name in ("prompt_tokens", "completion_tokens")))
        return replace(reply, delay_s=0.08 * concurrency)

    endpoint.script = slow
    data = labelled_pairs(picture, tmp_path, num=60, unreadable=0)
    run = ("bench", "run", "--benchmark", "pairs", "--data", data, "--output", tmp_path / "run", "--workers", 3)
    run += ("--concurrency", concurrency, "--budget-tokens")
    done = urt_process(*run, MAX_TOKENS)
    assert done.returncode == 1
    assert "tokens are spent, allowed are 4,000" in done.stderr
    assert "the same command goes on" in done.stderr
    assert MAX_TOKENS <= sum(paid) <= MAX_TOKENS + 3 * concurrency * ANSWER
    assert sum(path.stat().st_size > 0 for path in (tmp_path / "run" / "parts").glob("*.spent")) > 1
    asked = len(paid)
    assert urt_process(*run, MAX_TOKENS).returncode == 1
    assert len(paid) == asked, "a run that goes on has the same budget"
    endpoint.script = answer
    before = endpoint.num_requests
    assert urt_process(*run, 1_000_000).returncode == 0
    twice = endpoint.num_requests - before - (2 * 60 - asked)
    assert 0 <= twice <= 3 * 2 * concurrency, "both orders of the pairs in flight, at the most"
