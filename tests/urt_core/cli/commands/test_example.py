"""`urt compare --example`: the judge and the pairs of the package, and another judge on the same pairs."""

import json
from pathlib import Path
from typing import Any

import pytest

from urt_core import JudgeSpec, Task
from urt_core.cli import main
from urt_core.cli.batch.inputs import Requests
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.example import FOLDER, JUDGE, PAIRS, WHAT_THE_JUDGE_IS


def test_six_pairs_of_all_tasks_ship_with_their_pictures() -> None:
    rows: dict[str, Any] = dict(Requests(PAIRS))
    assert len(rows) == 6
    assert {row["task"] for row in rows.values()} == {*map(str, Task)}
    named = {
        Path(name)
        for row in rows.values()
        for value in (row["first"], row["second"], row.get("media"))
        for name in (value if isinstance(value, list) else [value])
        if isinstance(name, str) and name.endswith(".png")
    }
    assert named == set((FOLDER / "pictures").iterdir())


def test_the_tiny_judge_says_where_it_comes_from() -> None:
    spec = JudgeSpec.load(JUDGE)
    assert (spec.stage, spec.base) == ("grpo", "embedded:tiny")


def test_the_tiny_judge_judges_and_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Five of six, as at the end of the demo: on one pair its two orders disagree, which is a tie."""
    assert main(["compare", "--example"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("three green moons on the left, three blue keys on the right\n\nImage 2 is better\n")
    assert "<answer>Image 2 is better</answer>" in shown
    assert "5 of 6 right" in shown
    assert " ".join(shown.split()).endswith(WHAT_THE_JUDGE_IS)


def test_another_judge_is_asked_about_the_same_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    """One that always prefers what is shown first contradicts itself on every pair."""

    def first(request):
        text = json.dumps(request.json)
        noun = next(noun for noun in ("Image", "Video", "Answer") if f"{noun} 1 is better" in text)
        return chat_reply(f"{noun} 1 is better.")

    with ScriptedEndpoint(script=first) as endpoint:
        asked = ["--base-url", endpoint.base_url, "--model", "judge", "--dialect", "direct"]
        assert main(["compare", "--example", *asked]) == 0
        shown = capsys.readouterr().out
        assert main(["compare", "--example", "--json", *asked]) == 0
    assert shown.count("a tie") == 7  # the first pair is shown in full, too
    assert "0 of 6 right" in shown
    assert shown.rstrip().endswith("The judge is judge.")
    found = json.loads(capsys.readouterr().out)
    assert [each["position_consistent"] for each in found["comparisons"]] == [False] * 6


def test_a_judge_is_needed_without_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["compare", "--task", "image_generation", "--text", "a cat", "--first", "a.png", "--second", "b.png"]) == 1
    )
    assert capsys.readouterr().err == (
        "urt: --model missing: give a folder or hub id, or try --example, which brings judge and pairs along\n"
    )
