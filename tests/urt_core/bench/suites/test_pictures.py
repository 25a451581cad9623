"""What is changed about a picture, and what stays."""

import io

import numpy as np
from PIL import Image

from tests.urt_core.bench.suites.judges import png
from urt_core import Media, MediaKind
from urt_core.bench.suites import pictures


def test_edits_keep_the_size_but_for_resolution_and_change_pixels() -> None:
    image = Image.effect_mandelbrot((80, 60), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    for edit in (pictures.brighter, pictures.more_contrast, pictures.sharper, pictures.framed, pictures.says_better):
        changed = edit(image)
        assert changed.size == image.size
        assert changed.tobytes() != image.tobytes()
    assert pictures.twice_the_pixels(image).size == (160, 120)
    written = pictures.says_score(image)
    assert written.crop((0, 0, 80, 40)).tobytes() == image.crop((0, 0, 80, 40)).tobytes()


def test_a_border_is_a_twentieth_of_the_shorter_side_and_white() -> None:
    shown = np.asarray(pictures.framed(Image.new("RGB", (80, 60), (10, 20, 30))))
    assert (shown[:3] == 255).all()
    assert (shown[:, -3:] == 255).all()
    assert (shown[3:-3, 3:-3] == (10, 20, 30)).all()


def test_brightness_multiplies_and_saturation_leaves_grey_alone() -> None:
    assert pictures.brighter(Image.new("RGB", (4, 4), (80, 40, 240))).getpixel((0, 0)) == (100, 50, 255)
    grey = Image.new("RGB", (4, 4), (90, 90, 90))
    assert pictures.more_saturated(grey).tobytes() == grey.tobytes()


def test_a_video_is_changed_frame_by_frame_and_a_file_of_one_is_left() -> None:
    frames = Media(kind=MediaKind.VIDEO, files=("a.jpg", "b.png"), data=(png(40), png(80)))
    changed = pictures.edited(frames, pictures.twice_the_pixels)
    assert changed is not None
    assert (changed.kind, changed.files) == (MediaKind.VIDEO, ("a.png", "b.png"))
    assert [Image.open(io.BytesIO(data)).size for data in changed.data] == [(128, 128)] * 2
    assert pictures.edited(Media(kind=MediaKind.VIDEO, files=("a.mp4",), data=(b"x",)), pictures.brighter) is None
