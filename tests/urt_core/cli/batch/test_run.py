"""A file that is judged: cut off, continued, given up, and told by its exit code."""

import json

from tests.urt_core.cli.batch.conftest import results_of


def test_too_many_failures_are_exit_code_3(urt, rows, tmp_path):
    options = ("--input", rows([(200, 100), (5, 13)]), "--output", tmp_path / "results.jsonl")
    assert urt("compare", *options).code == 3
    assert urt("compare", *options, "--max-failures", 0.5).code == 0


def test_a_run_that_was_cut_off_continues_and_pays_nothing_twice(urt, rows, tmp_path, endpoint):
    output, pairs = tmp_path / "results.jsonl", rows([(200, 100), (10, 20), (30, 40)])
    assert urt("compare", "--input", pairs, "--output", output).code == 0
    paid = endpoint.num_requests
    assert paid == 6
    lines = output.read_bytes().splitlines(keepends=True)
    output.write_bytes(lines[0] + lines[1][: len(lines[1]) // 2])  # killed while it wrote
    again = urt("compare", "--input", pairs, "--output", output)
    assert again.code == 0
    assert again.err.splitlines()[0] == "1 of 3 are done already"
    assert len(results_of(output)) == len(output.read_text().splitlines()) == 3
    assert endpoint.num_requests == paid  # the lost answers were in the cache
    urt("compare", "--input", pairs, "--output", output)
    assert len(output.read_text().splitlines()) == 3


def test_a_hopeless_run_stops(urt, rows, tmp_path, endpoint):
    done = urt("compare", "--input", rows([(5, 13)] * 70), "--output", tmp_path / "results.jsonl", "--orders", "given")
    assert done.code == 3
    assert "the first 50 all failed, the last with: parse_error" in done.err
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 50


def test_scores_and_rankings_of_a_file(urt, picture, tmp_path):
    files = [picture(shade).rsplit("/", 1)[1] for shade in (10, 30, 20)]
    common = {"task": "image_generation", "text": "a car"}
    (tmp_path / "s.jsonl").write_text(
        "\n".join(json.dumps(common | {"key": f"s-{f[:2]}", "candidate": f}) for f in files)
    )
    done = urt("score", "--input", tmp_path / "s.jsonl", "--output", tmp_path / "so.jsonl", "--contract", "acs")
    assert done.code == 0
    assert {row["score"] for row in results_of(tmp_path / "so.jsonl").values()} == {4.0}
    (tmp_path / "r.jsonl").write_text(json.dumps(common | {"key": "r", "candidates": files}))
    assert urt("rank", "--input", tmp_path / "r.jsonl", "--output", tmp_path / "ro.jsonl").code == 0
    assert results_of(tmp_path / "ro.jsonl")["r"]["order"] == [1, 2, 0]
