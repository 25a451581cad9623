"""Questions with one right word, and answers that are right, wrong and vague."""

import random

import pytest

from urt_data.sprites.questions import Question, ask
from urt_data.sprites.world import COLOURS, COUNTS, MOTIONS, SHAPES, Split, sample_scene

KINDS = {"colour": COLOURS, "shape": SHAPES}


@pytest.mark.parametrize("clip", [False, True])
def test_the_truth_is_the_scenes_and_the_wrong_word_is_another_of_its_kind(clip: bool) -> None:
    rng = random.Random(0)
    asked = set()
    for _ in range(200):
        scene = sample_scene(rng, clip=clip, split=Split.TRAIN)
        question = ask(scene, rng)
        group = scene.left if question.side == "left" else scene.right
        assert question.truth == getattr(group, question.about)
        assert question.side in question.text
        words = KINDS.get(question.about, MOTIONS if clip else COUNTS)
        wrong = question.wrong(scene, rng)
        assert wrong in words
        assert wrong != question.truth
        hedged = question.vague(rng).split(" or ")
        assert question.truth in hedged
        assert len(set(hedged) & set(words)) == 2
        asked.add((question.about, question.side))
    assert len(asked) == 6


def test_of_a_shape_the_wrong_word_is_often_the_thing_on_the_other_side() -> None:
    rng = random.Random(0)
    other = 0
    for _ in range(1000):
        scene = sample_scene(rng, clip=False, split=Split.TRAIN)
        question = Question(about="shape", side="left", text="", truth=scene.left.shape)
        other += question.wrong(scene, rng) == scene.right.shape
    # Half of them on purpose and a fifth of the rest by chance: 0.6, and four standard deviations are 0.062.
    assert other / 1000 == pytest.approx(0.6, abs=0.062)


@pytest.mark.parametrize(
    ("about", "word", "sentence"),
    [
        ("lead", "one", "There is one."),
        ("lead", "three", "There are three."),
        ("lead", "two or three", "There are two or three."),
        ("lead", "rising", "It is rising."),
        ("shape", "fish", "A fish."),
        ("colour", "red", "It is red."),
    ],
)
def test_answers_are_said_as_a_person_would(about: str, word: str, sentence: str) -> None:
    assert Question(about=about, side="left", text="", truth="").say(word) == sentence
