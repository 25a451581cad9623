"""What a person reads of one comparison."""

import json

from tests.urt_core.cli.single import PAIR

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


def test_a_missing_file_is_bad_media(urt, picture):
    done = urt("compare", *PAIR, "--first", "none.png", "--second", picture(1))
    assert done.code == 3
    assert "not judged: bad_media\n" in done.out
    assert "none.png" in done.out


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
