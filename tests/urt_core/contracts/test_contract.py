"""A contract by itself: its scale, and what it is without words for a verdict."""

import pytest

from urt_core import Judgement, ParseFailure, Preference, Task
from urt_core.contracts import Contract
from urt_core.errors import PromptError
from urt_core.prompts import PointScale

SCALE = PointScale(low=0, high=5, dimensions=("colour",))
CONTRACT = Contract(
    read=lambda text, task: ParseFailure(kind="empty"), templates={}, scales={Task.IMAGE_GENERATION: SCALE}
)


def test_a_task_has_a_scale_or_the_covered_ones_are_named() -> None:
    assert CONTRACT.scale(Task.IMAGE_GENERATION, "stars") is SCALE
    with pytest.raises(PromptError, match="contract stars does not cover video_generation; it covers image_generation"):
        CONTRACT.scale(Task.VIDEO_GENERATION, "stars")


def test_without_words_for_a_verdict_none_is_made_up() -> None:
    with pytest.raises(PromptError, match="no words for the verdict tie of image_generation"):
        CONTRACT.verdict(Task.IMAGE_GENERATION, Preference.TIE)


def test_what_was_read_has_the_right_shape_unless_a_contract_says_otherwise() -> None:
    assert CONTRACT.has_shape("anything", Judgement(verdict=Preference.FIRST, scores={}))
