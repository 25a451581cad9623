"""`urt bench` as a user types it, on files written by the test."""

import csv
import gzip
import io
import json
import re

import pytest

from urt_core.cli import main


def mmrb2_lines(num: int, *, right: int) -> list[dict]:
    return [
        {"item": f"i{n}", "chosen": "A", "forward": ["A"], "reverse": ["B" if n < right else "A"]} for n in range(num)
    ]


@pytest.fixture
def write(tmp_path):
    def save(name: str, lines: list[dict], *, tail: str = "") -> str:
        path = tmp_path / name
        text = "".join(f"{json.dumps(line)}\n" for line in lines) + tail
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return str(path)

    return save


@pytest.fixture
def bench(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["bench", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_list_names_every_benchmark_and_one_with_its_rules(bench) -> None:
    code, out, _ = bench("list")
    assert code == 0
    for name in ("genai_bench", "vl_rewardbench", "mmrb2", "rewardbench_2", "hpdv3_test", "pairs"):
        assert name in out
    _, out, _ = bench("list", "vl_rewardbench")
    for text in ("official_compat", "r1_reward", "9b10abdc91", "a common mistake"):
        assert text in out
    _, out, _ = bench("list", "--json", "genai_bench")
    assert json.loads(out)["official"] == "four_way"


def test_rescore_prints_numbers_and_says_on_both_channels_that_a_set_is_incomplete(bench, write) -> None:
    path = write("judge.jsonl.gz", mmrb2_lines(10, right=4))
    code, out, err = bench("rescore", path, "--benchmark", "mmrb2", "--rule", "official", "--shape", "mmrb2", "--json")
    result = json.loads(out)
    assert code == 0
    assert (result["values"]["accuracy"], result["n_total"], result["n_scored"], result["n_failed"]) == (
        70.0,
        20,
        20,
        0,
    )
    assert result["is_complete"] is False
    assert result["schema"] == 1
    assert "INCOMPLETE" in err
    assert path in err
    _, out, _ = bench("rescore", path, "--benchmark", "mmrb2")
    assert "70.00" in out
    assert "INCOMPLETE" in out


def test_several_files_are_several_judges(bench, write) -> None:
    paths = [write(f"{right}.jsonl", mmrb2_lines(10, right=right)) for right in (2, 8)]
    _, out, _ = bench("rescore", *paths, "--benchmark", "mmrb2", "--json")
    assert [json.loads(line)["values"]["accuracy"] for line in out.splitlines()] == [60.0, 90.0]


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "latex", "html"])
def test_table_and_compare_in_every_form(bench, write, tmp_path, form: str) -> None:
    paths = [write(f"judge_{right}.jsonl", mmrb2_lines(40, right=right)) for right in (8, 32)]
    target = tmp_path / f"table.{form}"
    code, _, _ = bench("compare", *paths, "--benchmark", "mmrb2", "--format", form, "--output", target)
    text = target.read_text()
    assert code == 0
    assert "60.00" in text
    assert "+30.00" in text
    if form == "csv":
        rows = list(csv.reader(io.StringIO(text.split("\n\n")[0])))
        assert rows[1][0] == "judge_8"
        assert len(rows[0]) == len(rows[1])
    if form == "latex":
        assert r"judge\_8" in text
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
    if form == "html":
        assert text.startswith("<!doctype html>")


def test_paired_difference_is_that_of_the_items(bench, write) -> None:
    lines = [{"item": str(n), "label": "leftvote", "vote": "[[A>B]]" if n < 60 else "[[B>A]]"} for n in range(100)]
    better = [line | {"vote": "[[A>B]]"} if 60 <= int(line["item"]) < 75 else line for line in lines]
    paths = write("one.jsonl", lines), write("two.jsonl", better)
    _, out, _ = bench("compare", *paths, "--benchmark", "genai_bench", "--format", "csv")
    row = next(line for line in csv.reader(io.StringIO(out)) if line and line[0] == "two" and line[1].startswith("+"))
    assert row[1] == "+15.00"
    assert row[3:6] == ["100", "15", "0"]
    assert float(row[6]) == pytest.approx(2 / 2**15, rel=0.1)


@pytest.mark.parametrize(
    ("tail", "lines", "message"),
    [
        ('{"item": "i9", "cho', 3, "line 4: is half a line.*run the same command again"),
        ('{"item": }\n', 3, "line 4: is not JSON"),
        ('{"item": "i0", "chosen": "A", "forward": ["A"], "reverse": ["A"]}\n', 3, "line 4: repeats the judgement of line 1"),
        ('{"item": "x", "label": "leftvote", "vote": null}\n', 0, "line 1: is of shape genai_bench.*another benchmark"),
        ('{"item": "x", "chosen": "C", "forward": ["A"], "reverse": ["A"]}\n', 0, "line 1: has chosen 'C'; allowed: A, B: mend"),
        ('{"item": "x", "label": "leftvote", "vote": null}\n', 3, "line 4: lacks chosen; allowed: A, B: mend or remove the line"),
        ('{"chosen": "A", "forward": ["A"], "reverse": ["A"]}\n', 3, "line 4: lacks item or id or pair_id.*: mend or remove"),
        ('[1]\n', 3, "line 4: is a JSON list; each line must be an object: mend or remove it"),
    ],
)  # fmt: skip
def test_a_wrong_line_ends_with_one_line_that_names_file_line_and_remedy(bench, write, tail, lines, message) -> None:
    path = write("bad.jsonl", mmrb2_lines(lines, right=1), tail=tail)
    code, out, err = bench("rescore", path, "--benchmark", "mmrb2")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert path in err
    assert re.search(message, err)


def test_judges_of_different_items_are_not_compared(bench, write) -> None:
    paths = write("a.jsonl", mmrb2_lines(5, right=1)), write("b.jsonl", mmrb2_lines(6, right=1))
    code, _, err = bench("compare", *paths, "--benchmark", "mmrb2")
    assert code == 1
    assert "have not judged the same items (1 are in one of them only)" in err


def test_a_missing_file_and_a_missing_benchmark_are_said(bench, write) -> None:
    assert "does not exist" in bench("rescore", "nowhere.jsonl", "--benchmark", "mmrb2")[2]
    assert "--benchmark" in bench("rescore", write("a.jsonl", mmrb2_lines(2, right=1)))[2]


def test_a_run_is_not_counted_by_the_rules_of_another_benchmark(bench, tmp_path, write) -> None:
    lines = [
        {"key": f"p{n}", "order": order, "label": label, "verdict": "first", "vote_index": [n]}
        for n in range(4)
        for order, label in (("given", "first"), ("swapped", "second"))
    ]
    run = tmp_path / "run"
    run.mkdir()
    write("run/judgements.jsonl", lines)
    for about, code in (("mmrb2", 1), ("judgebench", 0), ("pairs", 0)):
        (run / "about.json").write_text(json.dumps({"benchmark": about, "data": {"num_in_set": 4}}))
        found, out, err = bench("rescore", run, "--benchmark", "judgebench", "--json")
        assert found == code, err
        if code:
            assert "is of mmrb2, and --benchmark says judgebench; leave --benchmark out" in err
            assert (out, err.count("\n")) == ("", 1)
        else:
            assert json.loads(out)["n_total"] == 4
