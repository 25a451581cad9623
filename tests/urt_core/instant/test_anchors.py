"""Anchors: what they say in judge.json, what a folder of a stranger's may hold, and the fit of a strength."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.optimize import minimize_scalar

from urt_core import Dialect, JudgeSpec, Task
from urt_core.errors import CheckpointError, ConfigError
from urt_core.instant.anchors import (
    Anchor,
    AnchorSet,
    file_names,
    log_odds_of,
    sigmoid,
    spread_out,
)
from urt_core.judges.pretrained import load_scale
from urt_core.media import MediaPolicy
from urt_core.records import Media, MediaKind

POLICY = MediaPolicy(min_pixels=64, max_pixels=4096, num_frames=2)
SPEC = JudgeSpec(
    dialect=Dialect.V1, dimensions={}, min_pixels=64, max_pixels=4096, num_frames=2, stage="internalise", base="tiny"
)


def image(number: int) -> Media:
    return Media(kind=MediaKind.IMAGE, files=file_names(Task.IMAGE_GENERATION, number, 1))


@pytest.fixture
def anchors() -> AnchorSet:
    return AnchorSet(
        tasks={
            "image_generation": tuple(Anchor(candidate=image(n), strength=n - 1.0) for n in range(3)),
            "video_generation": tuple(
                Anchor(candidate=Media(kind=MediaKind.VIDEO, files=file_names(Task.VIDEO_GENERATION, n, 2)), strength=n)
                for n in range(3)
            ),
            "image_understanding": tuple(Anchor(candidate=f"answer {n}", strength=n / 3) for n in range(4)),
        }
    )


@pytest.fixture
def folder(tmp_path, anchors):
    """A folder whose judge.json names the anchors, with their pictures."""
    SPEC_WITH(anchors).save(tmp_path)
    for found in anchors.tasks.values():
        for anchor in found:
            for name in anchor.candidate.files if isinstance(anchor.candidate, Media) else ():
                Image.new("RGB", (12, 10), (9, 99, 199)).save(tmp_path / name)
    return tmp_path


def SPEC_WITH(anchors: AnchorSet) -> JudgeSpec:
    from dataclasses import replace

    return replace(SPEC, anchors=anchors)


def test_a_judge_is_read_back_with_its_anchors_and_their_bytes(folder, anchors):
    assert JudgeSpec.load(folder).anchors == anchors
    read = load_scale(folder, policy=POLICY)["anchors"]
    assert read.tasks["image_understanding"] == anchors.tasks["image_understanding"]
    clip: Any = read.of("video_generation")[2].candidate
    assert clip.data == tuple((folder / name).read_bytes() for name in clip.files)
    assert clip.files == ("anchor-video-generation-2.f00.png", "anchor-video-generation-2.f01.png")


def test_a_judge_without_them_has_none(tmp_path):
    SPEC.save(tmp_path)
    assert load_scale(tmp_path, policy=POLICY) == {"instant_calibration": None, "anchors": None}
    assert load_scale("org/name", policy=POLICY) == {}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), r"anchor-image-generation-1\.png is missing"),
        (lambda path: path.write_bytes(b"GIF89a" + bytes(50)), "neither a PNG nor a JPEG"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "an anchor can't be shown"),
        (lambda path: path.write_bytes(bytes(9 << 20)), "9,437,184 bytes, allowed are 8,388,608"),
        (lambda path: (path.unlink(), path.mkdir()), "not a regular file|can't be read"),
    ],
    ids=["gone", "another format", "cut", "too large", "a folder"],
)
def test_a_bad_picture_is_one_line(folder, spoil, words):
    spoil(folder / "anchor-image-generation-1.png")
    with pytest.raises(CheckpointError, match=words) as error:
        load_scale(folder, policy=POLICY)
    assert "\n" not in str(error.value)


BAD = [
    ([], "object of lists"),
    ({}, "one task or more"),
    ({"image_generation": {}}, "object of lists"),
    ({"cooking": [{"text": "a", "strength": 0}] * 3}, "name the task 'cooking'"),
    ({"image_understanding": [{"text": "a", "strength": 0}] * 2}, "there are 2 anchors of image_understanding; allowed: 3 to 32"),
    ({"image_understanding": [{"text": "a", "strength": 0}] * 33}, "there are 33 anchors"),
    ({"image_understanding": [{"text": "a", "strength": n} for n in (0, 1, math.nan)]}, "strength nan"),
    ({"image_understanding": [{"text": "a", "strength": n} for n in (0, 1, "2")]}, "strength '2'"),
    ({"image_understanding": [{"text": "a", "strength": n} for n in (0, 1, 51)]}, "strength 51"),
    ({"image_understanding": [{"text": "", "strength": n} for n in range(3)]}, "no text of 1 to"),
    ({"image_understanding": [{"text": "\ud800", "strength": n} for n in range(3)]}, "no text of 1 to 10,000 characters in UTF-8"),
    ({"image_understanding": [{"files": ["a.png"], "strength": n} for n in range(3)]}, "no text of 1 to"),
    ({"image_generation": [{"text": "a", "strength": n} for n in range(3)]}, "is no image"),
    ({"image_generation": [{"files": ["a.png", "b.png"], "strength": n} for n in range(3)]}, "an image needs exactly one"),
    ({"image_generation": [{"files": 3, "strength": n} for n in range(3)]}, "has no files of its kind"),
    ({"image_generation": [{"files": ["a.png"]}] * 3}, "object with strength and files"),
    ({"video_generation": [{"files": ["a.png"] * 65, "strength": n} for n in range(3)]}, "65 frames, allowed are 64"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "words"), BAD, ids=range(len(BAD)))
def test_what_judge_json_says_of_them_is_checked(tmp_path, value, words):
    path = SPEC.save(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"anchors": value}))
    with pytest.raises(CheckpointError, match=words) as error:
        JudgeSpec.load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["../judge.json", "/etc/passwd", "a/b.png", ".png", "pipe.gif", "a.png\n"])
def test_a_name_that_leads_elsewhere_is_not_followed(tmp_path, name):
    SPEC.save(tmp_path)
    found = tuple(Anchor(candidate=Media(kind=MediaKind.IMAGE, files=(name,)), strength=n) for n in range(3))
    SPEC_WITH(AnchorSet(tasks={"image_generation": found})).save(tmp_path)
    with pytest.raises(CheckpointError, match=r"allowed: \.png and \.jpg files of the folder itself"):
        load_scale(tmp_path, policy=POLICY)


def test_another_task_and_one_quality_are_named(anchors):
    with pytest.raises(ConfigError, match=r"no anchors of video_understanding, only of image_generation, image_und"):
        anchors.of("video_understanding")
    alike = AnchorSet(tasks={"image_understanding": tuple(Anchor(candidate="a", strength=n / 100) for n in range(4))})
    with pytest.raises(ConfigError, match=r"^the 4 anchors of image_understanding are of one quality .* 0\.03"):
        alike.of(Task.IMAGE_UNDERSTANDING)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=12), st.lists(st.floats(0.02, 0.98), min_size=12, max_size=12))
def test_the_fitted_strength_is_the_most_likely_one(strengths, probabilities):
    """Against the minimum of the cross-entropy, found by scipy."""
    known = probabilities[: len(strengths)]

    def loss(own: float) -> float:
        return -sum(
            p * math.log(sigmoid(own - b)) + (1 - p) * math.log(1 - sigmoid(own - b))
            for b, p in zip(strengths, known, strict=True)
        )

    found = log_odds_of(sum(known) / len(known), strengths)
    best: Any = minimize_scalar(loss, bounds=(-15, 15), method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(best.x, abs=1e-4)


def test_anchors_span_what_there_is():
    assert spread_out([0.0, 3.0, 0.1, 1.0, 2.0], 3) == [0, 3, 1]
    assert spread_out([5.0, 1.0, 9.0], 3) == [1, 0, 2]
    assert sorted(spread_out([0.0] * 4 + [1.0], 4)) == [0, 1, 2, 4], "places once each, the strongest among them"
