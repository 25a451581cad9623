"""Which frames are shown and how large: bounds, aspect ratio, first and last frame."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from urt_core.errors import ConfigError
from urt_core.media.sampling import MediaPolicy, fit_pixels, frame_indices, preprocessing_id


@given(st.integers(1, 400), st.integers(1, 40))
def test_frames_are_spread_from_the_first_to_the_last(available: int, wanted: int) -> None:
    found = frame_indices(available, wanted)
    assert len(found) == min(available, wanted)
    assert found == sorted(set(found))
    if wanted > 1:
        assert (found[0], found[-1]) == (0, available - 1)
        gaps = {second - first for first, second in pairwise(found)}
        assert not gaps or max(gaps) - min(gaps) <= 1


@given(st.integers(1, 900), st.integers(1, 900))
def test_a_picture_is_brought_inside_the_bounds(width: int, height: int) -> None:
    policy = MediaPolicy(min_pixels=64 * 64, max_pixels=256 * 256)
    found = fit_pixels(Image.new("RGB", (width, height)), policy)
    if policy.min_pixels <= width * height <= policy.max_pixels:
        assert found.size == (width, height)
    elif min(found.size) > 1:  # a line of one pixel can't be made thinner
        assert policy.min_pixels <= found.width * found.height <= policy.max_pixels + max(found.size)
        assert found.width / found.height == pytest.approx(width / height, rel=2 / min(found.size))


@pytest.mark.parametrize("wrong", [{"min_pixels": 0}, {"min_pixels": 100, "max_pixels": 99}, {"num_frames": 0}])
def test_a_policy_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        MediaPolicy(**wrong)


def test_the_name_of_the_preprocessing_holds_all_of_it() -> None:
    policy = MediaPolicy(min_pixels=1, max_pixels=2, num_frames=3)
    assert preprocessing_id(policy) == "rgb-white-bicubic-1-2-uniform3"
