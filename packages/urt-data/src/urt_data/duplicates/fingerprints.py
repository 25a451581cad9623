"""What makes two records the same: exact digests, perceptual hashes of images, and normalised text."""

import hashlib
import re
import unicodedata

import numpy as np
from PIL import Image

from urt_core.media import MediaPolicy, load_frames
from urt_core.media.frames import media_digest
from urt_core.records import Media, Preference, PreferenceRecord

HASH_POLICY = MediaPolicy(min_pixels=1, max_pixels=512 * 512, num_frames=3)
"""First, middle and last frame stand for a video."""
WORD = re.compile(r"\w+")


def content_digest(record: PreferenceRecord) -> int:
    """Eight bytes over text, media and candidates; the same for a record and its swap."""
    sides = sorted(_digest_of(candidate) for candidate in (record.first, record.second))
    shown = record.media or record.source
    about = media_digest(shown) if shown else ""
    text = "\0".join((str(record.task), record.text, about, *sides))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def verdict(record: PreferenceRecord) -> int:
    """Which candidate is better in the order of their digests: above 0 for the smaller, below for the other, 0 for a tie or no label.

    The sign is the same for a record and its swap, so that two labels of one pair can be compared; the size is 1 where the label
    is `first`, 2 where it is `second`.
    """
    if record.preference not in (Preference.FIRST, Preference.SECOND):
        return 0
    is_ordered = _digest_of(record.first) <= _digest_of(record.second)
    is_first = record.preference is Preference.FIRST
    return (1 if is_ordered == is_first else -1) * (1 if is_first else 2)


def same_candidates(record: PreferenceRecord) -> bool:
    """Whether both candidates are byte for byte the same, whatever their files are called."""
    return _digest_of(record.first) == _digest_of(record.second)


def _digest_of(candidate: Media | str) -> str:
    return candidate if isinstance(candidate, str) else media_digest(candidate)


def representative_frames(media: Media) -> list[Image.Image]:
    """The image itself, or the first, middle and last frame of a video."""
    return load_frames(media, HASH_POLICY)


def perceptual_hash(image: Image.Image) -> int:
    """pHash (C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1): which of the
    lowest frequencies of the 32 x 32 grey image lie above their median.

    Differs in leaving the mean brightness out before the median is taken, so that 63 bits remain; and in the filter that scales (the mean over
    each cell). A plain image has the hash 0.
    """
    grey = np.asarray(image.convert("L").resize((GRID, GRID), Image.Resampling.BOX), dtype=np.float64)
    # A plain image leaves rounding noise, which must not look like content.
    frequencies = np.round((COSINES @ grey @ COSINES.T).ravel()[1:], 6)
    bits = frequencies > np.median(frequencies)
    return int("".join("1" if bit else "0" for bit in bits), 2)


def _cosines(length: int, count: int) -> np.ndarray:
    """The first `count` rows of the orthonormal DCT-II."""
    place, frequency = np.arange(length), np.arange(count)[:, None]
    return np.cos(np.pi * (2 * place + 1) * frequency / (2 * length)) * np.sqrt(2 / length)


GRID = 32
COSINES = _cosines(GRID, 8)
HASH_BITS = 63


def normalised_text(text: str) -> str:
    """Letter case, punctuation, spacing and Unicode spelling removed: what is left is what a copied caption keeps."""
    return " ".join(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
