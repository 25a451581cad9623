"""`urt bench run` against an endpoint that prefers the redder image: a folder of lines, resumed, shared out,
counted."""

import json
import re
from functools import partial
from pathlib import Path

import pytest

from urt_core.cli import main


def labelled_pairs(picture, folder: Path, *, num: int = 10, unreadable: int = 1) -> str:
    """A file of labelled pairs; the judge is wrong on one, and some can't be read."""
    rows = []
    for number in range(num):
        shades = (13, 40) if number < unreadable else (200 + number, 20 + number)
        first, second = map(picture, shades)
        row = {
            "key": f"pair-{number}",
            "task": "image_generation",
            "text": "a red car",
            "first": first,
            "second": second,
        }
        label = "second" if number == unreadable else "first"
        rows.append(row | {"preference": label, "metadata": {"cause": "colour", "item": f"i{number // 2}"}})
    path = folder / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


@pytest.fixture
def pairs(picture, tmp_path):
    """pairs(num=10, unreadable=1): ten labelled pairs; the judge is right on eight, and one can't be read."""
    return partial(labelled_pairs, picture, tmp_path)


@pytest.fixture
def bench_run(endpoint, capsys):
    def run(data: str, output: Path, *options: object):
        asked = ["--base-url", endpoint.base_url, "--model", "judge", "--dialect", "v1", "--benchmark", "pairs"]
        code = main(["bench", "run", *asked, "--data", data, "--output", str(output), *map(str, options)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_a_run_writes_one_line_per_judgement_what_it_depends_on_and_the_table(bench_run, pairs, tmp_path) -> None:
    code, out, _ = bench_run(pairs(), tmp_path / "run", "--max-failures", 0.2)
    assert code == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "judgements.jsonl").read_text().splitlines()]
    assert len(lines) == 20
    assert {len(line["prompt_sha256"]) for line in lines} == {64}
    assert {line["status"] for line in lines} == {"ok", "parse_error"}
    assert all(line["text"] and line["num_tokens"] for line in lines)
    timings = [json.loads(line) for line in (tmp_path / "run" / "timings.jsonl").read_text().splitlines()]
    assert len(timings) == 20
    assert all(time["seconds"] > 0 for time in timings)
    about = json.loads((tmp_path / "run" / "about.json").read_text())
    assert (about["benchmark"], about["asked"]["orders"], about["data"]["num_in_set"]) == ("pairs", "both", 10)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["values"]["accuracy"], result["n_total"], result["n_failed"], result["is_complete"]) == (
        80.0,
        20,
        2,
        True,
    )
    assert "80.00" in out
    assert "| run | 80.00" in (tmp_path / "run" / "table.md").read_text()
    assert "urt-core" in json.loads((tmp_path / "run" / "versions.json").read_text())


def test_the_same_command_goes_on_and_asks_nothing_twice(bench_run, pairs, endpoint, tmp_path) -> None:
    data = pairs()
    bench_run(data, tmp_path / "run", "--max-failures", 0.2)
    asked = endpoint.num_requests
    straight = (tmp_path / "run" / "judgements.jsonl").read_bytes()
    part = tmp_path / "run" / "parts" / "rank-0000.jsonl"
    kept = part.read_bytes().splitlines(keepends=True)[:11]
    part.write_bytes(b"".join(kept) + b'{"half')
    bench_run(data, tmp_path / "run", "--max-failures", 0.2)
    assert (tmp_path / "run" / "judgements.jsonl").read_bytes() == straight
    assert asked < endpoint.num_requests <= asked + 10


def test_rescore_of_a_run_knows_its_benchmark_and_says_when_it_was_stopped(bench_run, pairs, tmp_path, capsys) -> None:
    bench_run(pairs(), tmp_path / "run", "--max-failures", 0.2)
    assert main(["bench", "rescore", str(tmp_path / "run"), "--rule", "both_orders", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["values"]["accuracy"] == 80.0
    (tmp_path / "run" / "judgements.jsonl").unlink()
    part = tmp_path / "run" / "parts" / "rank-0000.jsonl"
    part.write_bytes(b"".join(part.read_bytes().splitlines(keepends=True)[:8]))
    assert main(["bench", "rescore", str(tmp_path / "run"), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["is_complete"] is False
    assert "of 10 pairs are judged; run the same command again" in printed.err


def test_a_limited_run_is_never_complete(bench_run, pairs, tmp_path) -> None:
    _, out, err = bench_run(pairs(), tmp_path / "run", "--limit", 4, "--max-failures", 1)
    assert "INCOMPLETE: 4 of 10 pairs" in out
    assert "INCOMPLETE" in err


def test_another_judge_in_the_same_folder_is_refused(bench_run, pairs, tmp_path) -> None:
    data = pairs()
    bench_run(data, tmp_path / "run", "--max-failures", 1)
    code, _, err = bench_run(data, tmp_path / "run", "--max-tokens", 77)
    assert code == 1
    assert "max_tokens" in err
    assert "name another folder" in err


def test_too_many_failures_are_an_exit_code(bench_run, pairs, tmp_path) -> None:
    assert bench_run(pairs(unreadable=3), tmp_path / "run")[0] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preference": None}, r"row 2: a has no preference; allowed: first, second, tie"),
        ({"preference": "left"}, r"row 2: a has the preference 'left'; allowed: first, second, tie"),
        ({"preference": 3}, r"row 2: a has the preference 3; allowed"),
        ({"preference": ["first"]}, r"row 2: a has the preference \['first'\]; allowed"),
        ({"text": None}, r"row 2: .*text"),
        ({"task": "pictures"}, r"row 2: task is 'pictures'; allowed: 'image_generation'"),
        ({"metadata": "colour"}, r"row 2: a has metadata 'colour', which is no object"),
        ({"first": []}, r"row 2: .*first"),
        ({"key": "b"}, r"row 2: .*rows 1 and 2 have the key 'b'"),
        ("text", r"row 2: request a lacks text; it has"),
        ("half", r"row 2: pairs.jsonl, line 2 is not JSON"),
    ],
    ids=str,
)
def test_a_row_that_is_no_labelled_pair_is_one_line(bench_run, picture, tmp_path, change, message) -> None:
    first, second = picture(200), picture(20)
    good = {"task": "image_generation", "text": "x", "first": first, "second": second, "preference": "first"}
    row = {"key": "a", **good} | (change if isinstance(change, dict) else {})
    row.pop(change if isinstance(change, str) else "", None)
    line = json.dumps(row)
    text = json.dumps({"key": "b", **good}) + "\n" + (line[:30] if change == "half" else line)
    (tmp_path / "pairs.jsonl").write_text(text + "\n")
    code, out, err = bench_run(str(tmp_path / "pairs.jsonl"), tmp_path / "run")
    said = err.splitlines()[-1]
    assert (code, out) == (1, "")
    assert said.startswith(f"urt: {tmp_path / 'pairs.jsonl'}, row 2: ")
    assert re.search(message, said), said
    assert said.endswith("a benchmark needs all of its rows: mend or remove it")


def test_no_pairs_and_no_limit_are_said_before_anything_is_asked(bench_run, pairs, tmp_path, endpoint) -> None:
    (tmp_path / "none.jsonl").write_text("\n")
    assert "none.jsonl holds no pairs" in bench_run(str(tmp_path / "none.jsonl"), tmp_path / "run")[2]
    assert "--limit is 0; it must be at least 1" in bench_run(pairs(), tmp_path / "run", "--limit", 0)[2]
    assert endpoint.num_requests == 0
