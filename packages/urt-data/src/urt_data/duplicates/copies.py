"""Finds a picture again that was re-encoded, scaled, mirrored or cropped by up to a tenth of each side.

    add(picture) --> hashes of the picture, its mirror image and its crops, and a thumbnail
    find(picture) --> hashes that are close --> the crop fitted to the thumbnail, pixel by pixel --> what is really alike

A hash alone would accuse pictures that only have the same large shapes, such as two views of one scene; pixels alone
would be compared with every picture. So the hash proposes and the pixels decide.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from urt_data.duplicates.fingerprints import perceptual_hash

THUMBNAIL = 96
COMPARED = 32
SHARES = (0.0, 0.05, 0.1)
CROPS = tuple(itertools.product(SHARES, repeat=4))
"""What is cut off left, above, right and below, as shares of the side: the first cuts nothing."""
MAX_CUT = 0.15
MAX_DISTANCE = 14
"""Of 63 bits. Crops that lie between those of the grid differ from the nearest one in up to 14
(docs/experiments.md)."""
MIN_SIMILARITY = 0.9
MIN_MIRRORED = 0.985
"""Of mirror images more is asked: what is symmetrical, such as two halves of a round thing, is alike without being a
copy."""
FIRST_STEP, LAST_STEP = 0.025, 0.004
POPCOUNT = np.array([number.bit_count() for number in range(2**16)], dtype=np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Likeness:
    """A picture of the index that another one is a copy of.  Likeness(picture=17, distance=4, similarity=0.991, cut=0.1)"""

    picture: int
    """Its number, in the order of adding."""
    distance: int
    """Differing bits of the closest hashes."""
    similarity: float
    """Correlation of the pixels, 1 at most."""
    cut: float
    """The largest share of a side that was cut off."""


class PictureIndex:
    """Pictures to look copies up in. One takes about 30 KB and 7 ms to add.

    Two pictures are alike when their hashes differ in at most `max_distance` of 63 bits for the picture, its mirror
    image or one of its crops, and the correlation of their pixels, over all three colours, is at least
    `min_similarity`.
    """

    def __init__(self, *, max_distance: int = MAX_DISTANCE, min_similarity: float = MIN_SIMILARITY) -> None:
        self._max_distance = max_distance
        self._min_similarity = min_similarity
        self._hashes: list[np.ndarray] = []
        self._thumbnails: list[np.ndarray] = []
        self._table = np.zeros((0, len(CROPS) + 1), dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._thumbnails)

    def add(self, image: Image.Image) -> None:
        thumbnail = image.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        views = (_view(thumbnail, cut, size=COMPARED) for cut in CROPS)
        mirrored = thumbnail.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        # The hash of the whole picture is that of the picture itself, not of its thumbnail: this is what is looked up.
        hashes = [perceptual_hash(image), *(perceptual_hash(view) for view in itertools.islice(views, 1, None))]
        self._hashes.append(np.array([*hashes, perceptual_hash(mirrored)], dtype=np.uint64))
        self._thumbnails.append(np.asarray(thumbnail))

    def find(self, image: Image.Image) -> Iterator[Likeness]:
        """The pictures that `image` is a copy of, by number."""
        value = perceptual_hash(image)
        if not value or not self._thumbnails:
            return  # a plain picture shows nothing that could be copied
        if len(self._table) < len(self._hashes):
            self._table = np.stack(self._hashes)
        distances = _popcount(self._table ^ np.uint64(value))
        distances[self._table == 0] = 64
        pixels = _centred(image.convert("RGB").resize((COMPARED, COMPARED), Image.Resampling.BOX))
        for picture in np.flatnonzero(distances.min(axis=1) <= self._max_distance).tolist():
            variant = int(distances[picture].argmin())
            thumbnail = Image.fromarray(self._thumbnails[picture])
            least = self._min_similarity
            if variant == len(CROPS):
                thumbnail, variant = thumbnail.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0
                least = max(least, MIN_MIRRORED)
            similarity, cut = _fitted(pixels, thumbnail, CROPS[variant])
            if similarity >= least:
                distance = int(distances[picture].min())
                yield Likeness(
                    picture=picture, distance=distance, similarity=round(similarity, 4), cut=round(max(cut), 3)
                )


def _fitted(pixels: np.ndarray, thumbnail: Image.Image, cut: tuple[float, ...]) -> tuple[float, list[float]]:
    """The crop of `thumbnail` that is most like `pixels`, found from `cut` by moving one edge at a time in halving
    steps."""
    best, edges, step = _correlation(pixels, thumbnail, cut), list(cut), FIRST_STEP
    while step > LAST_STEP:
        moved = False
        for edge, change in itertools.product(range(4), (-step, step)):
            tried = [*edges[:edge], min(MAX_CUT, max(0.0, edges[edge] + change)), *edges[edge + 1 :]]
            if (similarity := _correlation(pixels, thumbnail, tried)) > best + 1e-6:
                best, edges, moved = similarity, tried, True
        step = step if moved else step / 2
    return best, edges


def _correlation(pixels: np.ndarray, thumbnail: Image.Image, cut: "tuple[float, ...] | list[float]") -> float:
    other = _centred(_view(thumbnail, cut, size=COMPARED))
    scale = float(np.sqrt((pixels * pixels).sum() * (other * other).sum()))
    return float((pixels * other).sum()) / scale if scale else 0.0


def _view(image: Image.Image, cut: "tuple[float, ...] | list[float]", *, size: int) -> Image.Image:
    width, height = image.size
    left, above, right, below = cut
    box = (left * width, above * height, (1 - right) * width, (1 - below) * height)
    return image.resize((size, size), Image.Resampling.BOX, box=box)


def _centred(image: Image.Image) -> np.ndarray:
    """Pixels less the mean of their colour: brightness and tint of the whole picture say nothing."""
    pixels = np.asarray(image, dtype=np.float64)
    return pixels - pixels.mean(axis=(0, 1))


def _popcount(values: np.ndarray) -> np.ndarray:
    return POPCOUNT[values.view(np.uint16)].reshape(*values.shape, 4).sum(axis=-1)
