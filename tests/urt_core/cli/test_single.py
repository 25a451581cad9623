"""One request: what a person reads in a terminal of 80 columns, and the exit code."""

import json
import re
import subprocess
import sys

import pytest

from urt_core import Dialect, JudgeSpec

V2 = "You are a careful and impartial judge."
PAIR = ("--task", "image_generation", "--text", "a [red] car in the snow")

COMPARISON = """\
a [red] car in the snow

Image 1 is better
  P(Image 1) = 1.00 by votes, both orders agree

                      Image 1  Image 2  difference
semantic consistency        9        4          +5
aesthetics                  7        7          +0
authenticity                8        8          +0
total                                           +5

as given: ok
  <think>
  1. Semantic consistency: Image 1 (9/10) - the car is [red]; Image 2 (4/10) -
  it is not
  2. Aesthetics: Image 1 (7/10) - sharp; Image 2 (7/10) - sharp
  3. Authenticity: Image 1 (8/10) - whole; Image 2 (8/10) - whole
  Total score:
  Image 1: 9+7+8=24
  Image 2: 4+7+8=19
  </think>
  <answer>Image 1 is better</answer>

swapped, so that its Image 1 is Image 2 above: ok
"""


def test_a_comparison_is_readable(urt, picture):
    done = urt("compare", *PAIR, "--first", picture(200), "--second", picture(100))
    assert done.code == 0
    assert done.out.startswith(COMPARISON)
    assert done.out.splitlines()[-1].startswith("judge@png  rgb-white-")
    assert "200 + " in done.out.splitlines()[-1]
    assert done.err == ""


def test_an_unreadable_judgement_is_an_exit_code_and_no_verdict(urt, picture):
    done = urt("compare", *PAIR, "--first", picture(200), "--second", picture(13))
    assert done.code == 3
    assert "not judged: parse_error\n" in done.out
    assert "is better" not in done.out
    assert "\x1b" not in done.out  # what a judge writes must not clear the reader's screen


def test_json(urt, picture):
    done = urt("compare", *PAIR, "--first", picture(100), "--second", picture(200), "--json", "--orders", "given")
    comparison = json.loads(done.out)
    assert (done.code, comparison["preference"], comparison["margin"]) == (0, "second", -5.0)


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


def test_a_ranking(urt, picture):
    files = [picture(10), picture(200), picture(100)]
    done = urt("rank", *PAIR, "--candidates", *files)
    lines = done.out.splitlines()
    assert done.code == 0
    assert [line.split()[-3:-1] for line in lines[1:4]] == [["1", "1.00"], ["2", "0.50"], ["3", "0.00"]]
    assert lines[1].split()[0].endswith("200.png")
    assert lines[-1] == "3 comparisons, 0 failed"
    failed = urt("rank", *PAIR, "--candidates", picture(10), picture(13))
    assert failed.code == 3
    assert "not judged" in failed.out


def test_a_dry_run_shows_the_prompt_and_asks_nothing(urt, picture, endpoint):
    done = urt("compare", *PAIR, "--first", picture(10), "--second", picture(20), "--votes", 3, "--dry-run")
    assert done.code == 0
    assert done.out.startswith("1 requests, 6 completions, at most 6,144 tokens\npreprocessing rgb-white-")
    assert f"Image 1:[image {picture(10)}: 56x56]\nImage 2:[image {picture(20)}: 56x56]" in done.out
    assert "Caption: a [red] car in the snow" in done.out
    assert endpoint.num_requests == 0


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


def test_a_missing_file_is_bad_media(urt, picture):
    done = urt("compare", *PAIR, "--first", "none.png", "--second", picture(1))
    assert done.code == 3
    assert "not judged: bad_media\n" in done.out
    assert "none.png" in done.out


def test_wrong_usage_is_exit_code_2(urt):
    for options in (["compare", "--task", "audio"], ["judge"], []):
        done = subprocess.run([sys.executable, "-m", "urt_core.cli", *options], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert "usage: urt" in done.stderr


def test_the_help_loads_no_engine():
    code = (
        "import sys; from urt_core.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "urt compare --model" in done.stdout
    assert not {"torch", "openai", "transformers", "fastapi", "numpy"} & set(done.stdout.splitlines()[-1].split())


def test_the_source_of_edits_is_shown_and_never_dropped(urt, tmp_path):
    """`--media` beside generated candidates is what they are edits of; a single candidate has none."""
    from PIL import Image

    for name in ("source", "one", "two"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    files = {name: str(tmp_path / f"{name}.png") for name in ("source", "one", "two")}
    judge = ["--model", "judge", "--base-url", "http://localhost:1/v1", "--dry-run"]
    about = ["--task", "image_generation", "--text", "make it red", "--media", files["source"]]
    pair = ["--dialect", "v1", "--first", files["one"], "--second", files["two"]]
    shown = urt("compare", *judge, *about, *pair).out
    assert shown.index("source.png") < shown.index("one.png") < shown.index("two.png")
    ranked = urt("rank", *judge, *about, "--dialect", "edit_pair", "--candidates", files["one"], files["two"]).out
    assert ranked.index("source.png") < ranked.index("one.png")
    refused = urt("score", *judge, *about, "--candidate", files["one"])
    assert "score takes none" in refused.err
    alone = urt("compare", *judge, *about[:4], *pair[2:], "--dialect", "edit_pair")
    assert "give the picture as the record's source" in alone.err
