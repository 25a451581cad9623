"""Small records with media, and folders of them."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from urt_core.records import Media, MediaKind, Preference, PreferenceRecord, Task
from urt_data import ShardFolder, ShardWriter

PREFERENCES = (Preference.FIRST, Preference.SECOND, Preference.TIE, None)


def png(*words: str | int, size: int = 8) -> bytes:
    """A small image that depends on `words`."""
    pixels = b"".join(hashlib.sha256(f"{words}/{row}".encode()).digest() for row in range(size * size * 3 // 32 + 1))
    buffer = io.BytesIO()
    Image.frombytes("RGB", (size, size), pixels[: size * size * 3]).save(buffer, "png")
    return buffer.getvalue()


def as_media(value: object) -> Media:
    """For the type checker: this candidate is a medium."""
    assert isinstance(value, Media)
    return value


def image_record(number: int, *, prefix: str = "pair", size: int = 8) -> PreferenceRecord:
    """An image pair; every fourth label is a tie and every fourth is missing."""
    first, second = (
        Media(kind=MediaKind.IMAGE, files=(f"{side}.png",), data=(png(prefix, number, side, size=size),))
        for side in ("left", "right")
    )
    return PreferenceRecord(
        key=f"{prefix}-{number}",
        task=Task.IMAGE_GENERATION,
        text=f"scene {number}",
        first=first,
        second=second,
        preference=PREFERENCES[number % 4],
        metadata={"number": number},
    )


def answer_record(number: int, *, prefix: str = "clip") -> PreferenceRecord:
    """Two answers about a video of three frames."""
    frames = tuple(png(prefix, number, frame) for frame in range(3))
    return PreferenceRecord(
        key=f"{prefix}-{number}",
        task=Task.VIDEO_UNDERSTANDING,
        text=f"What happens in clip {number}?",
        first="It jumps.",
        second="It falls ö.",
        media=Media(kind=MediaKind.VIDEO, files=tuple(f"{frame}.png" for frame in range(3)), data=frames),
        preference=Preference.SECOND,
        completion="<answer>Answer 2 is better</answer>",
    )


def write(folder: Path, records, **settings) -> ShardFolder:
    with ShardWriter(folder, **settings) as shards:
        for record in records:
            shards.write(record)
    return ShardFolder(folder)


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test cuts the power, and waiting for a busy disk would make up most of the run."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[..., ShardFolder]:
    """folder_of(50, samples_per_shard=7) -> ShardFolder of 50 image pairs."""

    def make(
        count: int, *, samples_per_shard: int = 7, prefix: str = "pair", name: str = "pairs", **settings
    ) -> ShardFolder:
        records = (image_record(number, prefix=prefix) for number in range(count))
        return write(tmp_path / name, records, samples_per_shard=samples_per_shard, **settings)

    return make
