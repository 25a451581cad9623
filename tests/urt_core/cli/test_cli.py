"""One request: what a person reads in a terminal of 80 columns, and the exit code."""

import re

import pytest

from tests.urt_core.cli.single import PAIR
from urt_core import Dialect, JudgeSpec

V2 = "You are a careful and impartial judge."


def test_a_score(urt, picture):
    done = urt("score", *PAIR, "--candidate", picture(200), "--contract", "acs")
    assert done.code == 0
    assert done.out.splitlines()[:5] == [
        "4  75% of the scale of acs",
        "           score",
        "alignment    4.5",
        "coherence      4",
        "style        3.5",
    ]
    failed = urt("score", *PAIR, "--candidate", picture(13), "--contract", "acs")
    assert failed.code == 3
    assert failed.out.startswith("not scored: parse_error\n")


@pytest.mark.parametrize("command", ["compare", "rank"])
def test_a_judge_behind_an_endpoint_is_asked_as_its_folder_says(urt, picture, tmp_path, endpoint, command):
    """`vllm serve <folder>` names the model like the folder."""
    JudgeSpec(
        dialect=Dialect.V2,
        dimensions={},
        min_pixels=784,
        max_pixels=784,
        num_frames=2,
        stage="grpo",
        base="base",
        max_completion_tokens=2048,
    ).save(tmp_path)
    pair = (picture(10), picture(20))
    shown = ("--candidates", *pair) if command == "rank" else ("--first", pair[0], "--second", pair[1])
    served = ("--base-url", endpoint.base_url, "--model", tmp_path)
    done = urt(command, *served, *PAIR, *shown, "--dry-run", judge=False)
    assert done.code == 0, done.err
    assert done.out.startswith(
        "1 requests, 2 completions, at most 4,096 tokens\npreprocessing rgb-white-bicubic-784-784-uniform2\n"
    )
    assert V2 in done.out
    other = urt(
        command,
        *served,
        *PAIR,
        *shown,
        "--dialect",
        "v1",
        "--max-pixels",
        3136,
        "--max-tokens",
        100,
        "--dry-run",
        judge=False,
    )
    assert V2 not in other.out
    assert other.out.startswith(
        "1 requests, 2 completions, at most 200 tokens\npreprocessing rgb-white-bicubic-784-3136-uniform2\n"
    )


@pytest.mark.parametrize("command", ["compare", "rank", "score"])
def test_what_a_request_lacks_is_said_before_weights_are_read(urt, tmp_path, command):
    dialect = () if command == "score" else ("--dialect", "v1")
    done = urt(command, "--model", str(tmp_path), *dialect, judge=False)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert re.match(r"urt: --task --text --\w+ .*missing: give a whole request", done.err)


@pytest.mark.parametrize("command", ["compare", "rank", "serve"])
def test_a_judge_behind_an_endpoint_that_has_no_folder_needs_a_dialect(urt, endpoint, command):
    done = urt(command, "--base-url", endpoint.base_url, "--model", "judge", judge=False)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert re.match(r"urt: judge is no folder with judge\.json.*\(--dialect\): v1 .*, v2 .* or direct", done.err)
    assert endpoint.num_requests == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("compare", *PAIR), "--first --second missing"),
        (
            ("compare", "--task", "image_understanding", "--text", "q", "--first", "a", "--second", "b"),
            "--media missing",
        ),
        (("compare", "--input", "no/such.jsonl", "--output", "x.jsonl"), "no/such.jsonl does not exist"),
        (("compare", "--input", "no/such.jsonl"), "--input needs --output"),
        (("compare", *PAIR, "--first", "a.png", "--second", "b.png", "--calibration", "none.json"), "none.json"),
        (("compare", *PAIR, "--dialect", "v9"), "dialect is 'v9'; allowed: v1, v2"),
        (("score", *PAIR, "--candidate", "a.png", "--contract", "v9"), "contract is 'v9'; allowed: final_score"),
        (
            ("compare", "--mode", "instant", "--calibration", "none.json"),
            "and --calibration none.json has no part in it",
        ),
        (("rank", "--mode", "instant", "--probability", "margin"), "and --probability margin has no part in it; leave"),
        (("rank", *PAIR, "--candidates", "a.png"), "needs at least 2"),
        (("compare", *PAIR, "--first", "a.png", "--second", "b.png", "--votes", "0"), "must be at least 1"),
        (("serve", "--host", "0.0.0.0"), "there is no token"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_exit_code_1(urt, options, message, monkeypatch):
    monkeypatch.delenv("URT_TOKEN", raising=False)
    done = urt(*options)
    assert done.code == 1
    assert done.out == ""
    assert done.err.startswith("urt: ")
    assert done.err.count("\n") == 1
    assert message in done.err
