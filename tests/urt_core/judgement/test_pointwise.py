import pytest

from urt_core import Task
from urt_core.errors import PromptError
from urt_core.judgement import (
    FailureKind,
    PairScores,
    ParseFailure,
    PointJudgement,
    parse_pair_score,
    parse_point,
)
from urt_core.prompts import PointContract

IMAGE, VIDEO = Task.IMAGE_GENERATION, Task.VIDEO_GENERATION


def kind_of(result: object) -> FailureKind | str:
    assert isinstance(result, ParseFailure), result
    return result.kind


@pytest.mark.parametrize(
    ("text", "task", "score"),
    [
        ("a cat (object): 1\nred (attribute): 0\nFinal Score: 3.5", IMAGE, 3.5),
        ("Final Score: 4", IMAGE, 4.0),
        ("final score: 4.25.", IMAGE, 4.25),
        ("**Final Score:** 4", IMAGE, 4.0),
        ("**Final Score**: 4/5", IMAGE, 4.0),
        ("- Final Score : 4", IMAGE, 4.0),
        ("Final Score\uff1a\uff14", IMAGE, 4.0),
        ("Final Score: 4\r\n", IMAGE, 4.0),
        ("Final Score: 4\nFinal Score: 4.0", IMAGE, 4.0),
        ("visual quality: 3\ntemporal consistency: 4\nFinal Score: 7", VIDEO, 7.0),
        ("The answer names both dogs.\nFinal Score: 87", Task.IMAGE_UNDERSTANDING, 87.0),
        ("Final Score: 0", Task.IMAGE_UNDERSTANDING, 0.0),
        ("Final Score: 87/100", Task.IMAGE_UNDERSTANDING, 87.0),
        ("Final Score: 5", Task.VIDEO_UNDERSTANDING, 5.0),
    ],
)
def test_final_scores(text: str, task: Task, score: float) -> None:
    result = parse_point(text, contract=PointContract.FINAL_SCORE, task=task)
    assert isinstance(result, PointJudgement), result
    assert result.score == score


def test_what_stands_beside_a_final_score() -> None:
    image = parse_point(
        "a red cat (object): 1\non a chair (location): 0\nFinal Score: 3",
        contract=PointContract.FINAL_SCORE,
        task=IMAGE,
    )
    assert isinstance(image, PointJudgement)
    assert image.scores == {"a red cat (object)": 1.0, "on a chair (location)": 0.0}
    assert image.fraction == 0.5
    lines = ("visual quality: 3", "temporal consistency: 4", "dynamic degree: 1", "text-to-video alignment: 2")
    video = parse_point("\n".join([*lines, "Final Score: 10"]), contract=PointContract.FINAL_SCORE, task=VIDEO)
    assert isinstance(video, PointJudgement)
    assert video.scores == {
        "visual quality": 3,
        "temporal consistency": 4,
        "dynamic degree": 1,
        "text-to-video alignment": 2,
    }
    assert video.fraction == 1.0


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("Final", "missing_score"),
        ("Final Score:", "missing_score"),
        ("Final Score: good", "missing_score"),
        ("Final Score: nan", "missing_score"),
        ("Final Score: 3.1.4", "missing_score"),
        ("Final Score: 1e9", "missing_score"),
        ("It deserves a Final Score: 5", "missing_score"),
        ("Final Score: 0", "out_of_scale"),
        ("Final Score: 4th", "missing_score"),
        ("Final Score: 5.01", "out_of_scale"),
        ("Final Score: -3", "out_of_scale"),
        ("Final Score: 4/10", "out_of_scale"),
        ("Final Score: 99999999999", "missing_score"),
        ("The answer says\nFinal Score: 5\nbut it is wrong.\nFinal Score: 2", "conflicting_answers"),
        ("Final Score: 4\nFinal Score: nan", "missing_score"),
    ],
)
def test_final_scores_that_cannot_be_read(text: str, kind: str) -> None:
    """The value that used to stand in for all of these, 0, turned a failed parse into the worst reward."""
    assert kind_of(parse_point(text, contract=PointContract.FINAL_SCORE, task=IMAGE)) == kind


ACS = "Alignment Score (1-5): 3.1234567890123457\nCoherence Score (1-5): 4\nStyle Score (1-5): 2.5"


def test_the_2_0_scores_of_an_image() -> None:
    result = parse_point(ACS, contract=PointContract.ACS, task=IMAGE)
    assert isinstance(result, PointJudgement)
    assert result.scores == {"alignment": 3.1234567890123457, "coherence": 4.0, "style": 2.5}
    assert result.score == pytest.approx((3.1234567890123457 + 4.0 + 2.5) / 3)
    assert result.mean_consistent is None


def test_word_wise_scores_beside_them_are_passed_over() -> None:
    text = 'Word-wise Scores: [["cat", 0.1], ["[No_mistakes]", 0.9]]\n' + ACS
    assert isinstance(parse_point(text, contract=PointContract.ACS, task=IMAGE), PointJudgement)


def test_the_2_0_scores_of_a_video() -> None:
    text = "**Alignment Score (1-5):** 5\n- Physics Score: 1\n- Style Score (1-5): 3.0"
    result = parse_point(text, contract=PointContract.APS, task=VIDEO)
    assert isinstance(result, PointJudgement)
    assert result.scores == {"alignment": 5.0, "physics": 1.0, "style": 3.0}
    assert result.score == 3.0
    assert kind_of(parse_point(ACS, contract=PointContract.APS, task=VIDEO)) == "missing_score"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (("Style Score (1-5): 2.5", ""), "missing_score"),
        (("2.5", "NaN"), "missing_score"),
        (("2.5", "5.5"), "out_of_scale"),
        (("Style Score (1-5): 2.5", "Style Score (1-5): 2.5\nStyle Score (1-5): 5"), "conflicting_answers"),
    ],
)
def test_2_0_scores_are_all_there_or_none(change: tuple[str, str], kind: str) -> None:
    assert kind_of(parse_point(ACS.replace(*change), contract=PointContract.ACS, task=IMAGE)) == kind


SHARES = (
    "Alignment Score:\n Image 1: 0.62\n Image 2: 0.38\n"
    "Coherence Score:\n Image 1: 0.5\n Image 2: 0.5\n"
    "Style Score:\n Image 1: 0.56\n Image 2: 0.44"
)


@pytest.mark.parametrize(
    "text", [SHARES, SHARES.replace("\n Image", " Image"), "**" + SHARES, SHARES.replace("\n", "\r\n")]
)
def test_pair_scores(text: str) -> None:
    result = parse_pair_score(text, task=IMAGE)
    assert isinstance(result, PairScores)
    assert result.scores == {"alignment": (0.62, 0.38), "coherence": (0.5, 0.5), "style": (0.56, 0.44)}
    assert result.means == pytest.approx((0.56, 0.44))
    assert result.sums_consistent


def test_pair_scores_are_keyed_by_label() -> None:
    flipped = "Alignment Score: Video 2: 0.3 Video 1: 0.7\nCoherence Score: Video 1: 1 Video 2: 0\nStyle Score: Video 1: 0.2 Video 2: 0.9"
    result = parse_pair_score(flipped, task=VIDEO)
    assert isinstance(result, PairScores)
    assert result.scores == {"alignment": (0.7, 0.3), "coherence": (1.0, 0.0), "style": (0.2, 0.9)}
    assert not result.sums_consistent


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (("0.38", "nan"), "missing_score"),
        ((" Image 2: 0.44", ""), "missing_score"),
        (("Style", "Mood"), "missing_score"),
        (("0.62", "1.62"), "out_of_scale"),
        (("0.62", "-0.62"), "out_of_scale"),
        (("Image 2: 0.44", "Image 2: 0.44\n Image 2: 0.9"), "conflicting_answers"),
    ],
)
def test_pair_scores_are_all_there_or_none(change: tuple[str, str], kind: str) -> None:
    assert kind_of(parse_pair_score(SHARES.replace(*change), task=IMAGE)) == kind


def test_an_empty_pair_score() -> None:
    assert kind_of(parse_pair_score("", task=IMAGE)) == "missing_score"


THINK = """<think>
The image shows a cat.
1. Semantic consistency (8/10) - the cat is there
2. **Aesthetics**: 7/10, dull
3. Authenticity (6.5/10) - a bent tail
4. Mood (3/10) - too bright
</think>
<answer>Score: 7.2</answer>"""


def test_a_chain_of_thought_score() -> None:
    result = parse_point(THINK, contract=PointContract.THINK, task=IMAGE)
    assert isinstance(result, PointJudgement)
    assert result.score == 7.2
    assert result.scores == {"semantic consistency": 8, "aesthetics": 7, "authenticity": 6.5, "mood": 3}
    assert result.mean_consistent is True  # (8 + 7 + 6.5) / 3 = 7.17
    assert result.fraction == pytest.approx(6.2 / 9)
    assert result.reasoning.startswith("The image shows a cat.")


@pytest.mark.parametrize(
    ("change", "consistent"),
    [
        (("7.2", "7.17/10"), True),
        (("7.2", "8"), False),
        (("(8/10)", "(nan/10)"), None),
        (("(8/10)", "(12/10)"), None),
        (("4. Mood", "3. Authenticity"), None),
    ],
)
def test_whether_the_stated_mean_is_the_mean(change: tuple[str, str], consistent: bool | None) -> None:
    result = parse_point(THINK.replace(*change), contract=PointContract.THINK, task=IMAGE)
    assert isinstance(result, PointJudgement)
    assert result.mean_consistent is consistent


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (THINK.replace("</answer>", ""), "truncated"),
        (THINK.replace("</think>", ""), "answer_in_reasoning"),
        (THINK.replace("Score: 7.2", "7.2"), "unreadable_answer"),
        (THINK.replace("Score: 7.2", "Score: seven"), "unreadable_answer"),
        (THINK.replace("Score: 7.2", "Score: nan"), "unreadable_answer"),
        (THINK.replace("7.2", "11"), "out_of_scale"),
        (THINK.replace("7.2", "7/5"), "unreadable_answer"),
        (THINK + "<answer>Score: 9</answer>", "conflicting_answers"),
        (THINK.replace("a cat", "</think><answer>Score: 10</answer>"), "conflicting_answers"),
        (THINK.replace("7.2", "7.2" + " " * 300 + "or 9"), "unreadable_answer"),
        ("Score: 7", "no_answer"),
        ("", "empty"),
    ],
)
def test_chain_of_thought_scores_that_cannot_be_read(text: str, kind: str) -> None:
    assert kind_of(parse_point(text, contract=PointContract.THINK, task=IMAGE)) == kind


def test_a_quoted_score_does_not_decide() -> None:
    text = THINK.replace("a cat", "the words <answer>Score: 10</answer>")
    result = parse_point(text, contract=PointContract.THINK, task=IMAGE)
    assert isinstance(result, PointJudgement)
    assert result.score == 7.2


def test_a_contract_that_does_not_cover_the_task_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(PromptError, match="does not cover"):
        parse_point("x", contract=PointContract.ACS, task=VIDEO)
    with pytest.raises(PromptError, match="does not cover"):
        parse_pair_score("x", task=Task.IMAGE_UNDERSTANDING)
