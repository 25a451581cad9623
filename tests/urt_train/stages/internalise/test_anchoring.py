"""Behind calibration: candidates whose strengths are known, from a judge that is known."""

import hashlib
import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from tests.urt_train.stages.internalise.test_calibrating import answer
from urt_core import Completion, JudgeSpec, Preference, PreferenceRecord, Scorer, Task
from urt_core.engines import FinishReason
from urt_core.engines.model.folder import SUMS
from urt_core.engines.scripted import ScriptedEngine
from urt_core.instant.anchors import sigmoid
from urt_core.judges.pretrained import load_scale
from urt_core.media import MediaPolicy
from urt_core.records import Media, MediaKind
from urt_data import ShardFolder, ShardWriter
from urt_train.stages import Conclusion
from urt_train.stages.internalise import conclude
from urt_train.stages.internalise.anchoring import Entrant, can_stand, foreign_strengths
from urt_train.stages.internalise.config import InternaliseConfig

UNIT = 20
"""Shades of red that are a unit of log-odds."""
AS_ASKED = 2.0
"""Log-odds that being what the caption names is worth."""


BROKEN = b"no picture"


def picture(shade: int, caption: int) -> Media:
    """Its red is its quality, its green the caption that it shows."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (shade, caption, 0)).save(buffer, "PNG")
    return Media(kind=MediaKind.IMAGE, files=("a.png",), data=(buffer.getvalue(),))


def known_judge(prompt, number):
    """Bradley-Terry on quality and on whether a candidate shows what the caption names."""
    worth = []
    for media in prompt.media:
        pixel: Any = Image.open(io.BytesIO(media.data[0])).getpixel((0, 0))
        red, green, _ = pixel
        worth.append(red / UNIT + AS_ASKED * (f"caption {green}." in prompt.text))
    probability = sigmoid(worth[0] - worth[1])
    return answer("Image", 1, probability) if probability >= 0.5 else answer("Image", 2, 1 - probability)


SHADES = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110]
PAIRS = tuple(zip(SHADES[:6], SHADES[:5:-1], strict=True))


def pair(number: int, shades: tuple[int, int]) -> PreferenceRecord:
    first, second = (picture(shade, number) for shade in shades)
    better = Preference.FIRST if shades[0] > shades[1] else Preference.SECOND
    return PreferenceRecord(
        key=f"p-{number}", task=Task.IMAGE_GENERATION, text=f"caption {number}.", first=first, second=second, preference=better
    )  # fmt: skip


def test_strengths_are_those_of_the_judge():
    """Away from home, whatever the home candidates' own strengths are; the fit's prior draws them in a little."""
    entrants = [
        Entrant(text=f"caption {n}.", candidate=picture(shade, n), media=None) for n, shade in enumerate(SHADES)
    ]
    scorer = Scorer(engine=ScriptedEngine(script=known_judge), mode="instant")
    found = foreign_strengths(scorer, Task.IMAGE_GENERATION, entrants)
    mean = sum(SHADES) / len(SHADES)
    assert found == pytest.approx([(shade - mean) / UNIT for shade in SHADES], abs=0.15)


@pytest.fixture
def conclusion(tmp_path, spec):
    model = tmp_path / "model"
    model.mkdir()
    replace(spec, min_pixels=64, max_pixels=1024).save(model)

    def build(shades=PAIRS, **settings) -> Conclusion:
        with ShardWriter(tmp_path / "validation") as shards:
            for number, both in enumerate(shades):
                shards.write(pair(number, both if number % 2 else both[::-1]))
        return Conclusion(
            settings=InternaliseConfig(tasks=["image_generation"], **settings),
            model=model,
            open_engine=lambda: ScriptedEngine(script=known_judge),
            open_shards=lambda split: ShardFolder(tmp_path / split),
            console=Console(record=True, width=200, quiet=False, file=io.StringIO()),
        )

    return build


def test_the_judge_scores_single_candidates_from_then_on(conclusion):
    asked = conclusion(num_anchors=6)
    conclude(asked)
    spec = JudgeSpec.load(asked.model)
    scale = load_scale(asked.model, policy=MediaPolicy(min_pixels=64, max_pixels=1024))
    anchors: Any = scale["anchors"].of("image_generation")
    assert [anchor.strength for anchor in anchors] == sorted(anchor.strength for anchor in anchors)
    assert len(anchors) == 6
    sums = (asked.model / SUMS).read_text(encoding="utf-8")
    for anchor in anchors:
        [name] = anchor.candidate.files
        seen = Image.open(io.BytesIO((asked.model / name).read_bytes()))
        assert seen.width * seen.height <= 1024, "as the judge sees it"
        assert f"{hashlib.sha256((asked.model / name).read_bytes()).hexdigest()}  {name}" in sums
    pictures = [(asked.model / anchor.candidate.files[0]).read_bytes() for anchor in anchors]
    pixels: list[Any] = [Image.open(io.BytesIO(data)).getpixel((0, 0)) for data in pictures]
    reds = [pixel[0] for pixel in pixels]
    assert reds == sorted(reds), "the stronger, the better"
    assert (min(reds), max(reds)) == (min(SHADES), max(SHADES)), "from the weakest to the strongest"
    scorer = Scorer(engine=ScriptedEngine(script=known_judge), **scale)
    assert spec.calibration is not None
    slope: Any = spec.calibration.of("image_generation").slope
    for shade in (5, 45, 105):
        found = scorer.score(
            task="image_generation", text="caption 99.", candidate=picture(shade, 99), against="anchors"
        )
        expected = sum(sigmoid(slope * ((shade - red) / UNIT + AS_ASKED)) for red in reds) / 6
        assert found.score == pytest.approx(expected, abs=1e-4), "under a caption that nobody has seen"
        assert found.calibrated


def test_a_task_of_one_quality_gets_none(conclusion):
    """The two candidates of a pair differ by less than the least spread."""
    asked = conclusion(shades=[(50, 51)] * 6, num_anchors=6)
    conclude(asked)
    assert JudgeSpec.load(asked.model).anchors is None
    assert JudgeSpec.load(asked.model).calibration is not None
    assert "no anchors of image_generation: 12 candidates, whose strengths differ by" in asked.console.export_text()


def reading_judge(prompt, number):
    """The known one, which can't see what is no picture."""
    if any(media.data[0] == BROKEN for media in prompt.media):
        return Completion(text="", finish_reason=FinishReason.BAD_MEDIA, detail="no picture")
    return known_judge(prompt, number)


def test_what_can_not_be_read_is_no_anchor(conclusion, tmp_path):
    """It meets nobody, which is a strength between that of the weak and that of the strong ones."""
    asked = replace(conclusion(num_anchors=3), open_engine=lambda: ScriptedEngine(script=reading_judge))
    broken = Media(kind=MediaKind.IMAGE, files=("a.png",), data=(BROKEN,))
    with ShardWriter(tmp_path / "validation", overwrite=True) as shards:
        shards.write(replace(pair(0, (0, 110)), first=broken))
        shards.write(pair(1, (0, 110)))
        shards.write(pair(2, (110, 0)))
    conclude(asked)
    anchors: Any = load_scale(asked.model, policy=MediaPolicy(min_pixels=64, max_pixels=1024))["anchors"]
    assert len(anchors.of("image_generation")) == 3


@pytest.mark.parametrize("left", [0, 1])
def test_candidates_that_can_not_be_read_leave_a_line(conclusion, tmp_path, left):
    asked = replace(conclusion(num_anchors=3), open_engine=lambda: ScriptedEngine(script=reading_judge))
    broken = Media(kind=MediaKind.IMAGE, files=("a.png",), data=(BROKEN,))
    with ShardWriter(tmp_path / "validation", overwrite=True) as shards:
        for number in range(3):
            one = replace(pair(number, (0, 110)), first=broken)
            shards.write(one if number < left else replace(one, second=broken))
        for number, both in enumerate([(0, 110), (110, 0)], start=3):
            shards.write(pair(number, both))
    conclude(asked)
    assert JudgeSpec.load(asked.model).anchors is None
    assert f"no anchors of image_generation: {left} candidates" in asked.console.export_text()


@pytest.mark.parametrize(("answer", "may"), [("a cat", True), ("", False), ("a" * 10_000, True), ("a" * 10_001, False)])
def test_an_answer_travels_with_a_judge_where_its_folder_may_hold_it(answer, may):
    assert can_stand(answer, Task.IMAGE_UNDERSTANDING, MediaPolicy()) is may


@pytest.mark.parametrize(("num_frames", "may"), [(64, True), (65, False)])
def test_a_clip_travels_with_a_judge_that_sees_no_more_of_it_than_its_folder_may_hold(num_frames, may):
    [frame] = picture(0, 0).data
    files = tuple(f"{number}.png" for number in range(65))
    clip = Media(kind=MediaKind.VIDEO, files=files, data=(frame,) * 65)
    policy = MediaPolicy(min_pixels=64, max_pixels=1024, num_frames=num_frames)
    assert can_stand(clip, Task.VIDEO_GENERATION, policy) is may


def test_none_are_picked_where_none_are_wanted(conclusion):
    asked = conclusion(num_anchors=0)
    conclude(asked)
    assert JudgeSpec.load(asked.model).anchors is None
    assert not list(asked.model.glob("anchor*"))


@pytest.mark.parametrize("number", [1, 2, 33, -1])
def test_a_number_that_is_no_scale_is_refused(number):
    with pytest.raises(ValueError, match=r"internalise\.num_anchors.*3 to 32"):
        InternaliseConfig(num_anchors=number)
