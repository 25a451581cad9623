"""Scenes drawn: sizes, and flaws that can be seen."""

import random

import pytest

from urt_core import Task
from urt_core.media import MediaPolicy, load_frames
from urt_core.records import Media
from urt_data.sprites import Split, pairs
from urt_data.sprites.draw import FRAME_SIZE, IMAGE_SIZE, NUM_FRAMES
from urt_data.sprites.pairs import View
from urt_data.sprites.world import Flaw, sample_scene

POLICY = MediaPolicy(
    min_pixels=FRAME_SIZE[0] * FRAME_SIZE[1], max_pixels=IMAGE_SIZE[0] * IMAGE_SIZE[1], num_frames=NUM_FRAMES
)


def test_media_have_the_sizes_that_the_tiny_judge_sees():
    picture, clip = (
        next(pairs(task, 1, split=Split.TRAIN, seed=0)).first for task in (Task.IMAGE_GENERATION, Task.VIDEO_GENERATION)
    )
    assert isinstance(picture, Media)
    assert isinstance(clip, Media)
    (image,), frames = load_frames(picture, POLICY), load_frames(clip, POLICY)
    assert image.size == IMAGE_SIZE
    assert [frame.size for frame in frames] == [FRAME_SIZE] * NUM_FRAMES


@pytest.mark.parametrize("flaw", [None, *Flaw])
def test_every_flaw_changes_the_pixels(flaw):
    clip = flaw in (Flaw.JITTERY, Flaw.FLICKERING, Flaw.CHANGING)
    scene = sample_scene(random.Random(3), clip=clip, split=Split.TRAIN)
    clean = View(scene=scene).draw("x", random.Random(0)).data
    flawed = View(scene=scene, flaws=frozenset({flaw} if flaw else ())).draw("x", random.Random(0)).data
    assert (clean == flawed) == (flaw is None)
