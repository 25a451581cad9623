"""Spellings of one verdict by models that were never trained on a dialect, and sentences that are none."""

import pytest

from urt_core import Dialect, Judgement, Preference, Task, parse_judgement

THINK = """<think>
Alignment: Image 1 (6/10) - fair; Image 2 (8/10) - good
Total score:
Image 1: 6
Image 2: 8
</think>
"""
VERDICT = "Image 2 is better"
WRAPPED = [
    "**{}**",
    "**{}.**",
    "**{}**.",
    "*{}*",
    "__{}__",
    "_{}_",
    '"{}"',
    "'{}'",
    "“{}”",
    "\u2018{}\u2019",
    "`{}`",
    "[{}]",
    "({})",
    "[[{}]]",
    "\\boxed{{{}}}",
    "\\boxed{{\\text{{{}}}}}",
    "$\\boxed{{\\text{{{}}}}}$",
    "\\(\\boxed{{{}}}\\)",
    "$$\\boxed{{\\textbf{{{}}}}}$$",
    "<|begin_of_box|>{}<|end_of_box|>",
    "***{}***",
    '**"{}"**',
    '"**{}**"',
    "# {}",
    "## **{}**",
    "> {}",
    "- {}",
    "* {}",
    "{}!",
    "{}...",
    "**{}**\n",
    "{} ✅",
    "👉 {}",
    "```\n{}\n```",
    "```text\n{}\n```",
    "「{}」",
    "«{}»",
    "<b>{}</b>",
    "<strong>{}</strong>",
    "<verdict>{}</verdict>",
    "~~~\n{}\n~~~",
    "**`{}`**",
    "**Answer:** {}",
    "Overall Judgment: {}",
    "**Overall Judgment:** {}",
    "**Overall Judgment: {}**",
    "Overall Judgement: {}",
    "overall judgment - {}",
    "Overall judgment: **{}**",
    "Final Answer: {}",
    "Final verdict: {}",
    "Verdict: {}",
    "The verdict is: {}",
    "My judgment: {}",
    "Conclusion: {}",
    "Therefore, {}",
    "So, {}",
    "In conclusion, {}",
    "Overall, {}",
    "Thus {}",
]
SAID = [
    "Image 2 is better",
    "Image 2 is better.",
    "image 2 is better",
    "Image2 is better",
    "IMAGE 2 IS BETTER",
    "The Image 2 is better",
    "Image 2 is slightly better",
    "Image 2 is the better one",
    "Image 2 is better than Image 1",
    "Image 2 is better overall",
    "Image 2 is better because it fits the caption.",
    "Image 2 is better, because it fits the caption",
    "Image 2 is better since it is sharper",
    "Image B is better",
    "Image 2 is much better than Image 1.",
    " Image 2 is better ",
    "Image  2  is  better",
    "Image\xa02\xa0is better",
    "Image 2 is the winner",
    "Image 2 is preferred",
]
NO_VERDICT = [
    "Image 2 is not better",
    "Image 2 isn't better",
    "Neither image is better",
    "Image 1 and Image 2 are both better",
    "Image 2 is better? No.",
    "Image 2 is better or Image 1 is better",
    "Image 1 is better and Image 2 is better",
    "Is Image 2 better?",
    "Image 2 is no better",
    "Image 2 is never better",
    "Image 2 is hardly better",
    "Image 2 is not much better",
    "It is not true that Image 2 is better",
    "I can't say that Image 2 is better",
    "Image 2 is better in colour but Image 1 is better overall",
    "Video 2 is better",
    "Answer 2 is better",
    "Image 3 is better",
    "Image 2 is worse",
    "Image 2 would be better if it had a cat",
    "Image 12 is better",
    "Image 2.5 is better",
    "Image 1/2 is better",
    "Image 2 is better than Image 2",
    "Image 1 or 2 is better",
    "If Image 2 is better, say so",
    "Image 2 is better because Image 1 is better",
    "Image 2 is better because it is not better",
    "Image 2 is better, however Image 1 wins",
    "Image 2 is better is wrong",
    "Not Image 2 is better",
    "Image 2 is less better",
    "Image 2 is barely better... no, Image 1 is",
    "2 images are better",
    "The user said Image 2 is better",
    "Image 2 is supposedly better",
    "Image 2 is better? Image 1",
    "Image 2 ist besser? no",
    "Image \uff12 or 1 is better",
    "Unless Image 2 is better",
    "Image [1/2] is better",
    "Image X is better",
    "Image 1 (or 2) is better",
    "Image 2 is better (false)",
    "Image 2 is better [incorrect]",
    '"Image 2 is better" is wrong',
    "**Image 2 is better** is false",
    "\\boxed{Image 1 is better} or \\boxed{Image 2 is better}",
    "Image 2 is better\nImage 1 is better",
    "Image 2 is better than Image 1 is false",
    "Image 1 is not worse",
    "I would not say Image 2 is better",
    "Image 2 is better due to Image 1 being better",
    "[[1]] [[2]]",
    "[[A]] or [[B]]",
]


def read(text: str, dialect: str = "general"):
    return parse_judgement(text, task=Task.IMAGE_GENERATION, dialect=Dialect(dialect))


@pytest.mark.parametrize("text", [wrap.format(VERDICT) for wrap in WRAPPED] + SAID)
def test_however_it_is_dressed_it_is_one_verdict(text: str) -> None:
    for judgement in (read(text), read(f"{THINK}<answer>{text}</answer>")):
        assert isinstance(judgement, Judgement), judgement
        assert judgement.verdict is Preference.SECOND


def test_the_scores_of_the_reasoning_are_read_beside_it() -> None:
    judgement = read(f"{THINK}<answer>**{VERDICT}**</answer>")
    assert isinstance(judgement, Judgement)
    assert judgement.scores == {"alignment": (6.0, 8.0)}
    assert (judgement.totals, judgement.sums_consistent, judgement.answer_matches_totals) == ((6.0, 8.0), True, True)


@pytest.mark.parametrize("wrap", ["{}", "**{}**", "Overall Judgment: {}", '"{}"', "So, {}", "# {}", "<b>{}</b>!"])
@pytest.mark.parametrize("text", NO_VERDICT)
def test_what_decides_nothing_is_a_failure_however_it_is_dressed(text: str, wrap: str) -> None:
    dressed = wrap.format(text)
    assert not isinstance(read(dressed), Judgement)
    for dialect in ("general", "v1", "v2"):
        assert not isinstance(read(f"{THINK}<answer>{dressed}</answer>", dialect), Judgement)
    # A direct answer may weigh the sides in clauses before its last line: "In colour, ...".
    assert wrap == "So, {}" or not isinstance(read(dressed, "direct"), Judgement)
