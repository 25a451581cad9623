"""The sprite world: splits that share nothing, balanced labels, the same bytes everywhere."""

import hashlib
import random
import subprocess
import sys

import pytest

from urt_core import Preference, Task
from urt_core.media import MediaPolicy, load_frames
from urt_core.records import Media, MediaKind
from urt_data.sprites import Split, build_split, pairs
from urt_data.sprites.draw import FRAME_SIZE, IMAGE_SIZE, NUM_FRAMES
from urt_data.sprites.pairs import View, misread
from urt_data.sprites.world import UNSEEN_COMBINATIONS, Scene, sample_scene, split_of

POLICY = MediaPolicy(
    min_pixels=FRAME_SIZE[0] * FRAME_SIZE[1], max_pixels=IMAGE_SIZE[0] * IMAGE_SIZE[1], num_frames=NUM_FRAMES
)


def shown_scenes(record) -> list[Scene]:
    truth = record.metadata["truth"]
    names = ("first", "second") if record.task.is_generation else ("view",)
    return [View.from_json(truth[name]).scene for name in names]


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("split", list(Split))
def test_every_scene_shown_or_asked_for_is_one_of_its_split(task, split):
    for record in pairs(task, 30, split=split, seed=0):
        scenes = shown_scenes(record)
        if task.is_generation:
            scenes.append(Scene.from_json(record.metadata["truth"]["asked"]))
        assert {split_of(scene) for scene in scenes} == {split.scenes}


def test_unseen_combinations_occur_in_their_own_split_alone():
    rng = random.Random(0)
    for split in (Split.TRAIN, Split.VALIDATION, Split.TEST):
        for _ in range(200):
            scene = sample_scene(rng, clip=False, split=split)
            assert not {(group.colour, group.shape) for group in scene.groups} & UNSEEN_COMBINATIONS
    unseen = sample_scene(rng, clip=True, split=Split.TEST_UNSEEN)
    assert {(group.colour, group.shape) for group in unseen.groups} & UNSEEN_COMBINATIONS


def test_labels_are_balanced_over_the_order_and_tasks_take_turns():
    records = list(build_split("train", dict.fromkeys(Task, 10), seed=0))
    assert [record.task for record in records[:4]] == list(Task)
    assert sum(record.preference is Preference.FIRST for record in records) == 20
    assert len({record.key for record in records}) == 40


def test_the_worse_view_has_exactly_one_cause_more():
    for record in pairs(Task.IMAGE_GENERATION, 60, split=Split.TRAIN, seed=1):
        truth = record.metadata["truth"]
        first, second = View.from_json(truth["first"]), View.from_json(truth["second"])
        better, worse = (first, second) if record.preference is Preference.FIRST else (second, first)
        assert better.scene == Scene.from_json(truth["asked"])
        if record.metadata["cause"] in ("aesthetic", "authenticity"):
            assert worse.scene == better.scene
            assert len(worse.flaws - better.flaws) == 1
        else:
            assert worse.scene != better.scene
            assert worse.flaws == better.flaws


@pytest.mark.parametrize("cause", ["lead", "colour", "shape"])
def test_a_misread_scene_differs_in_one_word(cause):
    rng = random.Random(cause)
    for clip in (False, True):
        scene = sample_scene(rng, clip=clip, split=Split.TRAIN)
        other = misread(scene, cause, rng)
        words = [(getattr(a, name), getattr(b, name)) for a, b in zip(scene.groups, other.groups, strict=True)
                 for name in ("lead", "colour", "shape")]  # fmt: skip
        assert sum(a != b for a, b in words) == 1


def digest(number: int = 3) -> str:
    """One hash over records and media of all tasks."""
    total = hashlib.sha256()
    for record in build_split("test", dict.fromkeys(Task, number), seed=7):
        total.update(repr(record.to_json()).encode())
        for media in (record.first, record.second, record.media):
            for data in media.data if isinstance(media, Media) else ():
                # Compression may differ between zlib builds; pixels may not.
                image_kind = Media(kind=MediaKind.IMAGE, files=("x.png",), data=(data,))
                total.update(load_frames(image_kind, POLICY)[0].tobytes())
    return total.hexdigest()


def test_the_same_seed_gives_the_same_pairs_in_another_process():
    script = (
        f"import importlib.util as u; s = u.spec_from_file_location('t', r'{__file__}'); m = u.module_from_spec(s);"
        "s.loader.exec_module(m); print(m.digest())"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert other == digest()


def test_a_pair_does_not_depend_on_how_many_are_made():
    few = list(pairs(Task.VIDEO_UNDERSTANDING, 2, split=Split.TEST, seed=0))
    many = list(pairs(Task.VIDEO_UNDERSTANDING, 5, split=Split.TEST, seed=0))
    assert few == many[:2]


def test_pool_and_train_hold_different_pairs_of_the_same_scenes():
    train, pool = (list(pairs(Task.IMAGE_GENERATION, 20, split=split, seed=0)) for split in (Split.TRAIN, Split.POOL))
    assert not {record.key for record in train} & {record.key for record in pool}
    assert [record.text for record in train] != [record.text for record in pool]
