"""Samples in, rewards and statuses out: win rates in groups, references for lone samples, scores."""

import asyncio
import io
from itertools import combinations

import pytest
from PIL import Image

from tests.urt_core.adapters.conftest import judge
from urt_core import Dialect, Scorer, Task
from urt_core.adapters import ReferencePool
from urt_core.adapters.rewards import (
    ascore_rewards,
    awin_rate_rewards,
    reference_rewards,
    score_rewards,
    win_rate_rewards,
)
from urt_core.engines import Status
from urt_core.engines.scripted import ScriptedEngine

TASK = Task.IMAGE_GENERATION


def png(shade: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(data, "PNG")
    return data.getvalue()


def test_a_sample_earns_the_share_of_its_group_that_it_beats(scorer) -> None:
    shades, groups = [10, 200, 90, 10, 50, 40], ["a", "a", "a", "a", "b", "b"]
    found = win_rate_rewards(scorer, task=TASK, texts=["x"] * 6, candidates=list(map(png, shades)), groups=groups)
    # In group a two are equally dark: each loses two games and ties one.
    assert found.values == pytest.approx([0.5 / 3, 1.0, 2 / 3, 0.5 / 3, 1.0, 0.0])
    assert found.statuses == [Status.OK] * 6


def test_each_pair_is_asked_once_in_both_orders_and_in_one_stream() -> None:
    engine = ScriptedEngine(script=judge)
    scorer = Scorer(engine=engine, dialect=Dialect.DIRECT)
    groups = ["a"] * 4 + ["b"] * 3
    win_rate_rewards(scorer, task=TASK, texts=["x"] * 7, candidates=list(map(png, range(20, 27))), groups=groups)
    assert len(engine.prompts) == 2 * (len(list(combinations(range(4), 2))) + 3)


def test_a_game_that_could_not_be_judged_counts_for_neither(scorer) -> None:
    found = win_rate_rewards(
        scorer, task=TASK, texts=["x"] * 3, candidates=list(map(png, (13, 50, 90))), groups=["a"] * 3
    )
    assert found.values == [None, 0.0, 1.0]
    assert found.statuses == [Status.TIMEOUT, Status.OK, Status.OK]


def test_a_lone_sample_is_held_against_its_references(scorer) -> None:
    pool = ReferencePool(by_text={"car": (png(20), png(40), png(80), png(13))}, anchors=(png(60),))
    found = win_rate_rewards(
        scorer, task=TASK, texts=["car", "dog", "cat", "cat"], candidates=list(map(png, (50, 70, 1, 2))),
        groups=["a", "b", "c", "c"], references=pool,
    )  # fmt: skip
    # Better than two of the three that could be judged; better than the anchor; then a group of two.
    assert found.values == pytest.approx([2 / 3, 1.0, 0.0, 1.0])
    alone = win_rate_rewards(scorer, task=TASK, texts=["car"], candidates=[png(50)], groups=["a"])
    assert (alone.values, alone.statuses) == ([None], [Status.ALONE])


def test_answers_are_compared_about_their_own_media(scorer, medium) -> None:
    found = win_rate_rewards(
        scorer, task=Task.IMAGE_UNDERSTANDING, texts=["q"] * 3, candidates=["aa", "a", "odd"], media=[medium] * 3,
        groups=["g"] * 3,
    )  # fmt: skip
    assert found.values == [1.0, 0.0, None]


def test_scores_are_fractions_of_the_scale(scorer) -> None:
    asked = {"task": TASK, "texts": ["x"] * 3, "candidates": [png(0), png(255), png(13)], "contract": "final_score"}
    found = score_rewards(scorer, **asked)
    assert found.values == [pytest.approx(0.0), pytest.approx(1.0), None]
    assert found.statuses == [Status.OK, Status.OK, Status.TIMEOUT]
    assert asyncio.run(ascore_rewards(scorer, **asked)) == found


def test_the_asynchronous_rates_are_the_same(scorer) -> None:
    asked = {
        "task": TASK, "texts": ["x"] * 4, "candidates": list(map(png, (5, 9, 13, 70))), "groups": ["a", "a", "a", "b"],
        "references": ReferencePool(anchors=(png(60),)),
    }  # fmt: skip
    assert asyncio.run(awin_rate_rewards(scorer, **asked)) == win_rate_rewards(scorer, **asked)


def test_a_reference_of_each_sample_gives_the_probability_of_beating_it(scorer) -> None:
    found = reference_rewards(
        scorer, task=TASK, texts=["x"] * 4, candidates=list(map(png, (50, 50, 50, 13))),
        references=list(map(png, (20, 90, 50, 20))),
    )  # fmt: skip
    assert found.values == [1.0, 0.0, 0.5, None]
    assert found.statuses[3] == Status.TIMEOUT
