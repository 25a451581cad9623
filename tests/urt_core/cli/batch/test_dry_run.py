"""The first prompt as it would be sent."""

from pathlib import Path

import pytest

from tests.urt_core.cli.single import PAIR
from urt_core import Dialect, JudgeSpec, Task
from urt_core.instant import CalibrationKind, InstantCalibration, TaskCalibration


def test_a_dry_run_shows_the_prompt_and_asks_nothing(urt, picture, endpoint):
    done = urt("compare", *PAIR, "--first", picture(10), "--second", picture(20), "--votes", 3, "--dry-run")
    assert done.code == 0
    assert done.out.startswith("1 requests, 6 completions, at most 6,144 tokens\npreprocessing rgb-white-")
    assert f"Image 1:[image {picture(10)}: 56x56]\nImage 2:[image {picture(20)}: 56x56]" in done.out
    assert "Caption: a [red] car in the snow" in done.out
    assert endpoint.num_requests == 0


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    """A judge's folder with all that a dry run reads of it."""
    one = TaskCalibration(kind=CalibrationKind.PLATT, num_pairs=100, slope=1.0)
    folder = tmp_path / "judge"
    folder.mkdir()
    JudgeSpec(
        dialect=Dialect.V1, dimensions={}, min_pixels=64, max_pixels=4096, num_frames=4, stage="internalise", base="tiny",
        max_completion_tokens=100, calibration=InstantCalibration(tasks={Task.IMAGE_GENERATION: one}),
    ).save(folder)  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (("--mode", "instant"), "2 completions, at most 32 tokens"),
        (("--mode", "instant", "--votes", 3, "--orders", "given"), "1 completions, at most 16 tokens"),
        (("--mode", "auto"), "at most 4 completions, at most 232 tokens"),
        (("--mode", "auto", "--votes", 3), "at most 8 completions, at most 632 tokens"),
    ],
)
def test_what_is_asked_at_once_is_shown_and_counted(urt, picture, judge, options, numbers):
    """16 tokens for each answer at once, 100 for each judgement."""
    pair = ("--first", picture(10), "--second", picture(20))
    done = urt("compare", *PAIR, *pair, *options, "--model", judge, "--dry-run", judge=False)
    assert done.out.splitlines()[0] == f"1 requests, {numbers}"
    assert "<think>" not in done.out, "the verdict alone is asked for first"
    assert "Image 1 is better" in done.out
