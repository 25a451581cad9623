"""What makes two records the same: exact digests, perceptual hashes of images, and normalised text."""

import hashlib
import re
import unicodedata

import numpy as np
from PIL import Image

from urt_core.media import MediaPolicy, load_frames
from urt_core.media.frames import media_digest
from urt_core.records import Media, PreferenceRecord

HASH_POLICY = MediaPolicy(min_pixels=1, max_pixels=512 * 512, num_frames=3)
"""First, middle and last frame stand for a video."""
WORD = re.compile(r"\w+")


def content_digest(record: PreferenceRecord) -> int:
    """Eight bytes over text, media and candidates; the same for a record and its swap."""
    sides = sorted(_digest_of(candidate) for candidate in (record.first, record.second))
    about = media_digest(record.media) if record.media else ""
    text = "\0".join((str(record.task), record.text, about, *sides))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _digest_of(candidate: Media | str) -> str:
    return candidate if isinstance(candidate, str) else media_digest(candidate)


def perceptual_hashes(media: Media) -> list[int]:
    """One 64-bit hash per representative frame; near-identical images differ in few bits."""
    return [difference_hash(frame) for frame in load_frames(media, HASH_POLICY)]


def difference_hash(image: Image.Image) -> int:
    """dHash (N. Krawetz, "Kind of Like That", 2013): whether brightness rises from one cell of a 9 x 8 grid to the next.

    Differs in the scaling filter: the mean over each cell (BOX) instead of the library default, so that the hash of a
    recompressed or rescaled copy stays within a few bits.
    """
    cells = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    bits = np.packbits(cells[:, 1:] > cells[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def normalised_text(text: str) -> str:
    """Letter case, punctuation, spacing and Unicode spelling removed: what is left is what a copied caption keeps."""
    return " ".join(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
