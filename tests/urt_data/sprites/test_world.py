"""Scenes in words: counts, captions, and splits that share none."""

import random
from collections import Counter
from itertools import product

import pytest

from urt_data.sprites.world import (
    COLOURS,
    COUNTS,
    MOTIONS,
    SHAPES,
    UNSEEN_COMBINATIONS,
    Group,
    Scene,
    Split,
    sample_scene,
    split_of,
)


@pytest.mark.parametrize(
    ("group", "words", "count"),
    [
        (Group(lead="one", colour="red", shape="star"), "one red star", 1),
        (Group(lead="two", colour="red", shape="star"), "two red stars", 2),
        (Group(lead="three", colour="blue", shape="fish"), "three blue fish", 3),
        (Group(lead="rising", colour="red", shape="key"), "rising red key", 1),
    ],
)
def test_a_group_reads_as_english_and_knows_its_number(group: Group, words: str, count: int) -> None:
    assert (str(group), group.count) == (words, count)


def test_a_scene_comes_back_and_says_where_things_are() -> None:
    left, right = Group(lead="one", colour="red", shape="star"), Group(lead="two", colour="blue", shape="moon")
    scene = Scene(left=left, right=right)
    assert scene.caption == "one red star on the left, two blue moons on the right"
    assert Scene.from_json(scene.to_json()) == scene
    assert not scene.is_clip


def test_every_scene_belongs_to_one_split_in_the_stated_shares() -> None:
    groups = [
        Group(lead=lead, colour=colour, shape=shape)
        for lead, colour, shape in product(COUNTS, COLOURS, SHAPES)
        if (colour, shape) not in UNSEEN_COMBINATIONS
    ]
    found = Counter(split_of(Scene(left=left, right=right)) for left, right in product(groups, groups))
    assert set(found) == {Split.TRAIN, Split.VALIDATION, Split.TEST}
    # 6,084 scenes, by the first byte of a hash modulo 10 (0.805, 0.098, 0.098): three standard deviations are 0.015.
    assert found[Split.TRAIN] / len(groups) ** 2 == pytest.approx(0.805, abs=0.015)
    assert found[Split.TEST] / len(groups) ** 2 == pytest.approx(0.098, abs=0.015)


@pytest.mark.parametrize("split", Split)
@pytest.mark.parametrize("clip", [False, True])
def test_a_drawn_scene_is_of_its_split_and_each_side_differs(split: Split, clip: bool) -> None:
    rng = random.Random(0)
    for _ in range(40):
        scene = sample_scene(rng, clip=clip, split=split)
        assert split_of(scene) is split.scenes
        assert scene.left.shape != scene.right.shape
        assert scene.left.colour != scene.right.colour
        assert {group.lead for group in scene.groups} <= set(MOTIONS if clip else COUNTS)
        seen = any((group.colour, group.shape) in UNSEEN_COMBINATIONS for group in scene.groups)
        assert seen == (split is Split.TEST_UNSEEN)


def test_the_pool_shows_scenes_of_training() -> None:
    assert Split.POOL.scenes is Split.TRAIN
    assert Split.TEST.scenes is Split.TEST
