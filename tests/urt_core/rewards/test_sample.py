"""What a reward is told, and how parts add up."""

import math

import pytest

from urt_core import (
    Completion,
    Dialect,
    FinishReason,
    Judgement,
    Media,
    MediaKind,
    ParseFailure,
    Preference,
    PreferenceRecord,
    Task,
)
from urt_core.errors import ConfigError
from urt_core.judgement import FailureKind
from urt_core.rewards import RewardInput, combine

IMAGE = Media(kind=MediaKind.IMAGE, files=("a.png",))
RECORD = PreferenceRecord(
    key="1", task=Task.IMAGE_GENERATION, text="a cat", first=IMAGE, second=IMAGE, preference=Preference.FIRST
)
TEXT = "Image 1 is better."


def read(reason: FinishReason) -> RewardInput:
    return RewardInput.read(Completion(text=TEXT, finish_reason=reason), RECORD, Dialect.DIRECT)


def test_a_completion_is_read_in_its_dialect() -> None:
    sample = read(FinishReason.STOP)
    assert isinstance(sample.judgement, Judgement)
    assert (sample.judgement.verdict, sample.text, sample.truncated) == (Preference.FIRST, TEXT, False)
    wrong = RewardInput.read(Completion(text=TEXT, finish_reason=FinishReason.STOP), RECORD, Dialect.V1)
    assert isinstance(wrong.judgement, ParseFailure)


def test_what_was_cut_off_says_nothing_however_it_reads() -> None:
    sample = read(FinishReason.LENGTH)
    assert sample.truncated
    assert sample.judgement == ParseFailure(kind=FailureKind.TRUNCATED, excerpt=TEXT)


def test_the_total_is_the_weighted_sum_and_the_parts_stay_unweighted() -> None:
    reward = combine({"format": 1.0, "accuracy": 0.5}, weights={"format": 0.25, "accuracy": -2.0})
    assert reward.total == 0.25 - 1.0
    assert reward.parts == {"format": 1.0, "accuracy": 0.5}


def test_a_part_that_could_not_say_leaves_the_total_open() -> None:
    assert math.isnan(combine({"a": 1.0, "b": math.nan}, weights={"a": 1.0, "b": 0.0}).total)


@pytest.mark.parametrize("weights", [{}, {"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}])
def test_every_part_has_a_weight_and_every_weight_a_part(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"reward parts are \['a', 'b'\]"):
        combine({"a": 1.0, "b": 1.0}, weights=weights)
