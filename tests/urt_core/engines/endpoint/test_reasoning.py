"""What a server split off stands where the judge wrote it, before a parser sees it."""

import pytest

from urt_core import Dialect, Judgement, ParseFailure, Task, parse_judgement
from urt_core.engines import SamplingParams
from urt_core.engines.endpoint.answers import read_choice
from urt_core.engines.endpoint.reasoning import join_reasoning

REASONING = """1. Semantic consistency: Image 1 (9/10) - red; Image 2 (3/10) - blue
2. Aesthetics: Image 1 (7/10) - plain; Image 2 (7/10) - plain
3. Authenticity: Image 1 (8/10) - clean; Image 2 (8/10) - clean
Total score:
Image 1: 9+7+8=24
Image 2: 3+7+8=18"""
ANSWER = "<answer>Image 1 is better</answer>"


def judged(content, dialect=Dialect.V1, **message):
    choice = {"finish_reason": "stop", "message": {"content": content, **message}}
    completion = read_choice(choice, SamplingParams())
    return parse_judgement(completion.text, task=Task.IMAGE_GENERATION, dialect=dialect), completion


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize(
    "reasoning", [REASONING, f"<think>\n{REASONING}", f"{REASONING}\n</think>", f"<think>{REASONING}</think>"]
)
def test_split_off_reasoning_keeps_its_scores(field, reasoning):
    judgement, completion = judged(ANSWER, **{field: reasoning})
    assert isinstance(judgement, Judgement)
    assert (judgement.totals, judgement.sums_consistent) == ((24.0, 18.0), True)
    assert (completion.text.count("<think>"), completion.text.count("</think>")) == (1, 1)


def test_reasoning_that_is_told_twice_is_read_once():
    judgement, completion = judged(f"<think>{REASONING}</think>{ANSWER}", reasoning=REASONING)
    assert isinstance(judgement, Judgement)
    assert completion.text.count("Total score") == 1


@pytest.mark.parametrize("content", [None, "", "  "])
def test_a_whole_judgement_in_the_reasoning_is_read(content):
    judgement, _ = judged(content, reasoning_content=f"<think>\n{REASONING}\n</think>\n{ANSWER}")
    assert isinstance(judgement, Judgement)
    assert judgement.totals == (24.0, 18.0)


def test_half_a_judgement_in_the_reasoning_names_the_field_and_the_switch():
    judgement, completion = judged(None, reasoning_content=REASONING)
    assert isinstance(judgement, ParseFailure)
    assert "'reasoning_content'" in completion.detail
    assert "enable_thinking" in completion.detail


def test_an_answer_quoted_in_the_reasoning_decides_nothing():
    judgement, _ = judged("I can't say.", reasoning="maybe <answer>Image 2 is better</answer>, maybe not")
    assert isinstance(judgement, ParseFailure)
    judgement, _ = judged(ANSWER, reasoning="maybe <answer>Image 2 is better</answer>, maybe not")
    assert isinstance(judgement, Judgement)
    assert judgement.verdict == "first"


def test_a_direct_answer_is_read_without_the_thoughts_in_front_of_it():
    judgement, _ = judged("Image 2 is better.", Dialect.DIRECT, reasoning="Image 1 is better at first sight.")
    assert isinstance(judgement, Judgement)
    assert judgement.verdict == "second"


def test_no_reasoning_changes_nothing():
    assert join_reasoning("", ANSWER, field="reasoning") == (ANSWER, "")
    assert join_reasoning(" \n", ANSWER, field="reasoning") == (ANSWER, "")
