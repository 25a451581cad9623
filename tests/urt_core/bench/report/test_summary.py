"""Headline, figures, costs and facts of the report."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from urt_core import Dialect, Media, MediaKind, Preference, PreferenceRecord, Task
from urt_core.bench.evaluation import EvaluationResult, evaluate
from urt_core.bench.phases import PhaseCost
from urt_core.bench.report.summary import JudgedData, cost_rows, facts, figures, headline, lead, rough_duration
from urt_core.engines.scripted import ScriptedEngine


def picture() -> Media:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, format="PNG")
    return Media(kind=MediaKind.IMAGE, files=("picture.png",), data=(content.getvalue(),))


PICTURE = picture()


def evaluated(right: int, of: int = 20, *, direct: bool = True) -> EvaluationResult:
    """A judge that is right about the first `right` of `of` pairs, in whichever order, and always right when asked
    directly."""
    records = [
        PreferenceRecord(
            key=f"pair-{n}", task=Task.IMAGE_UNDERSTANDING, text="How many?", first="Two.", second="Three.",
            media=PICTURE, preference=Preference.FIRST,
        )
        for n in range(of)
    ]  # fmt: skip

    def answer(prompt, index):
        says_two = prompt.dialect is Dialect.DIRECT or int(prompt.key.rpartition("-")[2]) < right
        two_stands_first = prompt.text.index("Two.") < prompt.text.index("Three.")
        winner = 1 if says_two == two_stands_first else 2
        if prompt.dialect is Dialect.DIRECT:
            return f"Answer {winner} is better."
        return f"<think>\n1. Clarity: Answer 1 (6/10) - so; Answer 2 (6/10) - so\n</think>\n<answer>Answer {winner} is better</answer>"

    dialects = (Dialect.V1, Dialect.DIRECT) if direct else (Dialect.V1,)
    return evaluate(
        ScriptedEngine(script=answer, model="judge"), records, dialects=dialects, data={"manifest": ["a", "b"]}
    )


@pytest.fixture(scope="module")
def half() -> EvaluationResult:
    return evaluated(10)


def cost(name: str, seconds: float, peak: int = 10**9) -> PhaseCost:
    return PhaseCost(name=name, title=name.upper(), seconds=seconds, peak_memory_bytes=peak)


def test_the_headline_counts_pairs_and_not_judgements(half):
    assert headline(half, Dialect.V1) == "Right on 50.0 % of 20 held-out pairs"


def test_the_lead_goes_from_the_first_judge_to_the_last(half):
    assert len(lead({"Base": half}, Dialect.V1)) == 1
    told = lead({"Base": evaluated(5), "GRPO": half}, Dialect.V1)[1]
    assert "from 25.0 % (11.2–46.9) at the base to 50.0 % (29.9–70.1) after GRPO" in told
    assert "Asked for the bare verdict, it goes from 100.0 % (83.9–100.0) to 100.0 % (83.9–100.0)." in told
    assert "bare verdict" not in lead({"Base": evaluated(5, direct=False), "GRPO": half}, Dialect.V1)[1]


def test_figures_say_what_was_measured_and_nothing_else(half):
    told = {figure.name: figure.value for figure in figures(half, Dialect.V1, [])}
    assert told == {
        "right, reasoning first": "50.0 %",
        "right, direct answer": "100.0 %",
        "of the judgements can be read": "100.0 %",
        "same verdict in both orders": "100.0 %",
    }
    others = {"test_unseen": evaluated(15)}
    told = {
        figure.name: figure.value
        for figure in figures(half, Dialect.V1, [cost("a", 42.0), cost("b", 60.0, 2 * 10**9)], others)
    }
    assert told["right on test unseen"] == "75.0 %"
    assert (told["for everything"], told["peak memory"]) == ("1.7 min", "2.00 GB")


def test_costs_are_laid_end_to_end():
    rows = cost_rows([cost("a", 25.0), cost("b", 75.0, 3 * 10**9)])
    assert [(row.start, row.width, row.share, row.is_total) for row in rows] == [
        (0.0, 25.0, "25%", False), (25.0, 75.0, "75%", False), (0.0, 0.0, "", True),
    ]  # fmt: skip
    assert (rows[-1].time, rows[-1].memory) == ("1 min 40 s", "3.00 GB")
    assert [row.is_total for row in cost_rows([cost("a", 25.0)])] == [False]
    assert cost_rows([cost("a", 0.0)])[0].width == 0
    assert cost_rows([]) == []


def test_facts_name_what_a_repetition_needs(half, tmp_path: Path):
    (tmp_path / "grpo").mkdir()
    (tmp_path / "grpo" / "environment.json").write_text(json.dumps({"commit": "abc", "packages": {"torch": "2.13.0"}}))
    data = JudgedData(metadata={"seed": 0, "nested": {"left": "out"}}, find=lambda keys: {})
    told = dict(facts(tmp_path, half, data))
    assert told["model judged last"] == "judge"
    assert told["data, manifest"] == "a, b"
    assert told["data, seed"] == "0"
    assert "data, nested" not in told
    assert told["judging, max tokens"] == str(half.settings["max_tokens"])
    assert (told["commit"], told["packages"]) == ("abc", "torch 2.13.0")


def test_a_duration_is_as_exact_as_it_is_long():
    assert [rough_duration(seconds) for seconds in (42.0, 824.0, 7384.0)] == ["42 s", "13.7 min", "2.1 h"]
