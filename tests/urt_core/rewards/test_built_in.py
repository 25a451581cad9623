import math
from dataclasses import replace

import pytest

from urt_core import Completion, Dialect, Judgement, Media, MediaKind, Preference, PreferenceRecord, Task, judge_reward
from urt_core.errors import ConfigError, RecordError
from urt_core.rewards import (
    RewardInput,
    accuracy_reward,
    combine,
    confidence_reward,
    consistency_reward,
    format_reward,
)

IMAGE = Media(kind=MediaKind.IMAGE, files=("a.png",))
RECORD = PreferenceRecord(
    key="a", task=Task.IMAGE_GENERATION, text="a cat", first=IMAGE, second=IMAGE, preference=Preference.FIRST
)
GOOD = """<think>
1. Semantic consistency: Image 1 (9/10) - a; Image 2 (7/10) - b
2. Aesthetics: Image 1 (8/10) - a; Image 2 (8/10) - b
3. Authenticity: Image 1 (9/10) - a; Image 2 (6/10) - b
Total score:
Image 1: 9+8+9=26
Image 2: 7+8+6=21
</think>
<answer>Image 1 is better</answer>"""
ALL = {"format": 1.0, "accuracy": 1.0, "consistency": 1.0}


def parts(text: str, record: PreferenceRecord = RECORD, dialect: Dialect = Dialect.V1) -> tuple[float, ...]:
    reward = judge_reward(text, record, dialect, weights=ALL)
    assert reward.total == sum(reward.parts.values())
    return tuple(reward.parts[name] for name in ALL)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, (1, 1, 1)),
        ("\n " + GOOD + "\n", (1, 1, 1)),  # white space around the blocks is free
        (GOOD.replace("<answer>Image 1", "<answer>Image 2"), (1, 0, 0)),
        (GOOD.replace("=26", "=27"), (1, 1, 0)),  # the sum is wrong
        (GOOD.replace("Image 1: 9+8+9=26", "Image 1: 7+8+6=21"), (1, 1, 0)),  # the totals are not those of the scores
        (GOOD.replace("3. Authenticity", "3. Mood"), (1, 1, 0)),  # a core dimension is missing
        ("<think></think><answer>Image 1 is better</answer>", (1, 1, 0)),
        ("<think>a</think><answer>image 1 is better.</answer>", (1, 1, 0)),
        ("Image 1 is better", (0, 0, 0)),  # the original's accuracy reward pays for a bare verdict
        ("<answer>Image 1 is better</answer>", (0, 1, 0)),
        ("So: " + GOOD, (0, 1, 1)),
        (GOOD + " Thanks!", (0, 1, 1)),  # the original's format reward has no end anchor
        (GOOD + "<answer>Image 1 is better</answer>", (0, 1, 1)),
        (GOOD + "<answer>Image 2 is better</answer>", (0, 0, 0)),
        (GOOD.replace("<think>", ""), (0, 1, 1)),
        (GOOD.replace("Image 1 is better", "Both images are equally good."), (0, 0, 0)),
        (GOOD.replace("Image 1 is better", "Video 1 is better"), (0, 0, 0)),
        (GOOD[:-10], (0, 0, 0)),
        ("", (0, 0, 0)),
    ],
)
def test_parts(text: str, expected: tuple[float, ...]) -> None:
    assert parts(text) == expected


def test_a_truncated_completion_earns_nothing() -> None:
    reward = judge_reward(GOOD, RECORD, Dialect.V1, weights=ALL, truncated=True)
    assert reward.total == 0
    assert reward.parts == dict.fromkeys(ALL, 0.0)


@pytest.mark.parametrize(
    ("text", "preference", "expected"),
    [
        ("Image 1 is better.", Preference.FIRST, (1, 1, 0)),
        ("Both images are equally good.", Preference.TIE, (1, 1, 0)),
        ("Both images are equally good.", Preference.FIRST, (1, 0, 0)),
        ("Image 1 is better.\nIt has the cat.", Preference.FIRST, (0, 1, 0)),
        ("<answer>Image 1 is better</answer>", Preference.FIRST, (0, 1, 0)),
        ("I can't tell.", Preference.TIE, (0, 0, 0)),
    ],
)
def test_direct_answers(text: str, preference: Preference, expected: tuple[float, ...]) -> None:
    assert parts(text, replace(RECORD, preference=preference), Dialect.DIRECT) == expected


def test_the_swapped_pair_wants_the_other_answer() -> None:
    assert parts(GOOD, RECORD.swap()) == (1, 0, 1)


def test_weights_multiply_the_parts_and_choose_them() -> None:
    reward = judge_reward(GOOD, RECORD, Dialect.V1, weights={"accuracy": 0.75, "format": 0.25})
    assert reward.total == 1.0
    assert reward.parts == {"accuracy": 1.0, "format": 1.0}
    wrong = judge_reward(GOOD, RECORD.swap(), Dialect.V1, weights={"accuracy": 0.75, "format": 0.25})
    assert wrong.total == 0.25


@pytest.mark.parametrize("weights", [{}, {"length": 1.0}, {"format": 1.0, "acc": 1.0}])
def test_unknown_or_no_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="format, accuracy, consistency"):
        judge_reward(GOOD, RECORD, Dialect.V1, weights=weights)


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_weights_are_finite(weight: float) -> None:
    with pytest.raises(ConfigError, match="finite"):
        judge_reward(GOOD, RECORD, Dialect.V1, weights={"format": weight})


def test_accuracy_needs_a_label() -> None:
    with pytest.raises(RecordError, match="no preference"):
        judge_reward(GOOD, replace(RECORD, preference=None), Dialect.V1, weights={"accuracy": 1.0})
    unlabelled = judge_reward(GOOD, replace(RECORD, preference=None), Dialect.V1, weights={"format": 1.0})
    assert unlabelled.total == 1.0


def test_combine_wants_the_same_names() -> None:
    with pytest.raises(ConfigError, match="same parts"):
        combine({"format": 1.0}, weights={"accuracy": 1.0})
    assert combine({"a": 0.5, "b": 1.0}, weights={"a": 2.0, "b": -1.0}).total == 0.0


def test_single_rewards_agree_with_the_combination() -> None:
    sample = RewardInput.read(Completion(text=GOOD), RECORD, Dialect.V1)
    assert format_reward(sample) == accuracy_reward(sample) == consistency_reward(sample) == 1.0
    failure = RewardInput.read(Completion(text=""), RECORD, Dialect.V1)
    assert format_reward(failure) == accuracy_reward(failure) == consistency_reward(failure) == 0.0


def stated(verdict: Preference, confidence: float | None) -> RewardInput:
    judgement = Judgement(verdict=verdict, scores={}, confidence=confidence)
    return RewardInput(completion=Completion(text=GOOD), record=RECORD, dialect=Dialect.V1, judgement=judgement)


@pytest.mark.parametrize(
    ("verdict", "confidence", "expected"),
    [
        (Preference.FIRST, 1.0, 1.0),
        (Preference.FIRST, 0.5, 0.75),
        (Preference.FIRST, 0.0, 0.0),
        (Preference.SECOND, 0.0, 0.0),
        (Preference.SECOND, 0.5, -0.25),
        (Preference.SECOND, 1.0, -1.0),
        (Preference.FIRST, None, -1.0),
    ],
)
def test_a_stated_confidence_earns_by_the_formula(verdict, confidence, expected) -> None:
    """right - (q - right)^2 (arXiv 2507.16806); the first candidate is the better one."""
    assert confidence_reward(stated(verdict, confidence)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("truth", [0.1, 0.5, 0.73, 0.95])
def test_stating_the_truth_pays_most(truth: float) -> None:
    """The mean over verdicts of which a share `truth` is right, at every confidence of a grid."""
    grid = [step / 100 for step in range(101)]
    means = [
        truth * confidence_reward(stated(Preference.FIRST, q))
        + (1 - truth) * confidence_reward(stated(Preference.SECOND, q))
        for q in grid
    ]
    assert grid[max(range(101), key=means.__getitem__)] == truth


def test_an_unreadable_text_earns_what_a_wrong_verdict_that_is_sure_earns() -> None:
    failure = RewardInput.read(Completion(text=GOOD[:-10]), RECORD, Dialect.V1)
    assert confidence_reward(failure) == confidence_reward(stated(Preference.SECOND, 1.0)) == -1.0
    with pytest.raises(RecordError, match="the confidence reward needs a labelled record"):
        confidence_reward(replace(failure, record=replace(RECORD, preference=None)))
