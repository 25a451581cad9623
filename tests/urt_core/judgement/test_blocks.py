"""Tags of a completion, cut in one pass: what is reasoning, what an answer, and what is doubtful."""

import pytest

from urt_core.judgement.blocks import cut_blocks


@pytest.mark.parametrize(
    ("text", "reasoning", "answers", "num_inside", "is_open"),
    [
        ("<think>a</think><answer>b</answer>", "a", ["b"], 0, False),
        ("<THINK >a</think><Answer>b</answer >", "a", ["b"], 0, False),
        ("a<answer>b</answer>", "a", ["b"], 0, False),
        ("a</think><answer>b</answer>", "a", ["b"], 0, False),  # the template opened the block in the prompt
        ("<think>a<answer>x</answer></think><answer>b</answer>", "a<answer>x</answer>", ["b"], 1, False),
        ("<think>a <think>quoted</think> b</think><answer>c</answer>", "a <think>quoted</think> b", ["c"], 0, False),
        ("<think>a<answer>b</answer>", "a<answer>b</answer>", [], 1, True),
        ("<think>a</think><answer>b", "a", [], 0, True),
        ("<answer>a</answer><answer>b</answer>", "", ["a", "b"], 0, False),
        ("none", "", [], 0, False),
    ],
)
def test_cut(text: str, reasoning: str, answers: list[str], num_inside: int, is_open: bool) -> None:
    blocks = cut_blocks(text)
    assert (blocks.reasoning, blocks.answers, blocks.num_inside, blocks.is_open) == (
        reasoning,
        answers,
        num_inside,
        is_open,
    )


def test_an_answer_before_the_end_of_unopened_reasoning_is_doubtful() -> None:
    blocks = cut_blocks("one <answer>a</answer> two</think><answer>b</answer> end")
    assert (blocks.doubtful, blocks.answers, blocks.tail) == (["a"], ["b"], " end")
