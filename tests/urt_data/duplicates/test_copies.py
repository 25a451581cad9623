"""Pictures that are a copy of one in the index, and pictures that are not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from urt_data.duplicates.copies import CROPS, MIN_SIMILARITY, PictureIndex


def scene(seed: int, size: int = 160) -> Image.Image:
    """Soft shapes: most of their energy lies in low frequencies, as it does in photographs."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(3))


@pytest.fixture(scope="module")
def index() -> PictureIndex:
    made = PictureIndex()
    for seed in range(12):
        made.add(scene(seed))
    return made


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


def cropped(image: Image.Image, cut: tuple[float, float, float, float]) -> Image.Image:
    left, above, right, below = (round(image.width * share) for share in cut)
    return image.crop((left, above, image.width - right, image.height - below))


@pytest.mark.parametrize(
    ("change", "cut"),
    [
        (lambda image: image, 0.0),
        (jpeg, 0.0),
        (lambda image: image.resize((57, 91)), 0.0),
        (ImageOps.mirror, 0.0),
        (lambda image: cropped(image, (0.05, 0.1, 0.0, 0.05)), 0.1),
        (lambda image: cropped(image, (0.0, 0.0, 0.1, 0.1)), 0.1),
    ],
    ids=["itself", "jpeg", "scaled", "mirrored", "cut on three sides", "cut on two sides"],
)
def test_a_copy_is_found_with_its_number_and_how_much_was_cut_off(index: PictureIndex, change, cut: float) -> None:
    for seed in range(12):
        found = list(index.find(change(scene(seed))))
        assert [likeness.picture for likeness in found] == [seed]
        assert found[0].similarity >= MIN_SIMILARITY
        assert found[0].cut == pytest.approx(cut, abs=0.03)


def test_other_pictures_and_plain_ones_are_no_copies(index: PictureIndex) -> None:
    for seed in range(100, 160):
        assert list(index.find(scene(seed))) == []
    assert list(index.find(Image.new("RGB", (64, 64), "red"))) == []


def test_a_picture_is_found_as_soon_as_it_is_added() -> None:
    index = PictureIndex()
    assert list(index.find(scene(0))) == []
    index.add(scene(0))
    assert [likeness.picture for likeness in index.find(scene(0))] == [0]
    index.add(scene(1))
    assert [likeness.picture for likeness in index.find(scene(1))] == [1]
    assert len(index) == 2


def test_the_first_crop_cuts_nothing_and_all_differ() -> None:
    assert CROPS[0] == (0.0, 0.0, 0.0, 0.0)
    assert len(set(CROPS)) == 3**4


def test_a_stricter_index_lets_more_pass() -> None:
    strict = PictureIndex(min_similarity=0.99999)
    strict.add(scene(0))
    assert list(strict.find(jpeg(scene(0)))) == []
