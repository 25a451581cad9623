"""The folder a set was downloaded to, and the media its rows name: read whole, kept as they are, never from outside.

    "images/a.jpg", b"...", {"bytes": ..., "path": ...} or a list of frames  --folder.image / folder.video-->  Content

Names come from files that others wrote. A name that is absolute, climbs with `..`, is a URL or follows a link out of
the folder is a `FieldError`. Media inside tar and zip files are found as if these were unpacked beside themselves.
"""

import base64
import errno
import io
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from urt_core.errors import ConfigError, MediaError
from urt_core.media import MediaLimits, MediaPolicy, load_frames
from urt_core.media.images import IMAGE_FORMATS
from urt_core.media.limits import check_size, decoder_wall
from urt_core.records import Media, MediaKind
from urt_data.shards.addresses import is_address
from urt_data.shards.tar import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from urt_data.sources.archives import Archives
from urt_data.sources.rows import FieldError

MAX_FILE_BYTES = MediaLimits().max_file_bytes
"""What is converted must be decoded later, so the limits are the decoder's."""
DECODE_POLICY = MediaPolicy(min_pixels=1, num_frames=8)
"""Frames that are looked at where media are decoded to see whether they can be."""
BASE64_BEGINNINGS = ("iVBORw0KGgo", "/9j/", "UklGR", "R0lGOD", "AAAA", "GkXfo")
"""PNG, JPEG, RIFF (WebP, AVI), GIF, MP4 and Matroska in base64."""
MIN_BASE64 = 60
NO_ANNOTATIONS = (
    "dataset_info.json",
    "dataset_dict.json",
    "dataset_infos.json",
    "state.json",
    "rejected.jsonl",
    "manifest.json",
)
"""What other programs, or we, leave in a data set's folder."""
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """The encoded bytes of one image or video before it has a role in a record.

    Content(kind=MediaKind.VIDEO, suffixes=("jpg", "jpg"), data=(b"...", b"..."))    # two frames
    """

    kind: MediaKind
    suffixes: tuple[str, ...]
    data: tuple[bytes, ...] = field(repr=False)

    def as_media(self, role: str) -> Media:
        """`first.jpg`, or `first.f00.jpg`, `first.f01.jpg`, ... for frames: the names they have inside a sample."""
        if len(self.suffixes) == 1:
            return Media(kind=self.kind, files=(f"{role}.{self.suffixes[0]}",), data=self.data)
        digits = max(2, len(str(len(self.suffixes) - 1)))
        names = tuple(f"{role}.f{index:0{digits}d}.{suffix}" for index, suffix in enumerate(self.suffixes))
        return Media(kind=self.kind, files=names, data=self.data)


class InputFolder:
    """A downloaded set: a folder, or one annotation file whose media lie beside it.

    InputFolder("downloads/HPDv3").image("images/a.jpg", "path1")
    """

    def __init__(self, path: str | Path, *, media: str | Path | None = None, decode: bool = False) -> None:
        for place in (path, media):
            if place is not None and is_address(place):
                raise ConfigError(
                    f"{place} is an address; `urt-data convert` copies it, as `shards.addresses.local_copy` does"
                )
        path = Path(path)
        if not path.exists():
            raise ConfigError(
                f"input {path} does not exist; give the folder or the annotation file of the downloaded set"
            )
        self.annotations = path
        self.root = path if path.is_dir() else path.parent
        self.media_root = (Path(media) if media is not None else self.root).resolve()
        if not self.media_root.is_dir():
            raise ConfigError(
                f"media folder {media} is not a folder; give the folder that the rows' file names start from"
            )
        self._prefix = f"{self.media_root}/"
        self._own_folders: set[str] = set()
        self._decode = decode
        self._notes: dict[str, Any] = {}

    def files(self, patterns: Sequence[str]) -> list[tuple[str, Path]]:
        """The annotation files with their names inside the input, in a fixed order."""
        if self.annotations.is_file():
            return [(self.annotations.name, self.annotations)]
        # What `datasets.save_to_disk` wrote stands where Parquet would.
        saved = ["**/data-*.arrow"] if any(pattern.endswith(".parquet") for pattern in patterns) else []
        found = {
            path
            for pattern in (*patterns, *saved)
            for path in self.root.glob(pattern)
            if path.is_file() and path.name not in NO_ANNOTATIONS and not _hidden(path, self.root)
        }
        if not found:
            raise ConfigError(
                f"{self.root} holds no {' or '.join(patterns)}; give the folder or the annotation file itself"
            )
        return sorted((path.relative_to(self.root).as_posix(), path) for path in found)

    def revision(self, name: str) -> str | None:
        """The commit an annotation file was downloaded at, where `hf download --local-dir` wrote it down."""
        note = self.root / ".cache" / "huggingface" / "download" / f"{name}.metadata"
        if not note.is_file():
            return None
        first_line = note.read_text(errors="replace").partition("\n")[0].strip()
        return first_line if COMMIT.fullmatch(first_line) else None

    def remember(self, name: str, value: Any) -> Any:
        """Keep what a source has read once for all rows, such as a table of file names."""
        self._notes[name] = value
        return value

    def recall(self, name: str) -> Any:
        return self._notes.get(name)

    def image(self, value: Any, name: str, *, under: Sequence[str] = ("",)) -> Content:
        """The image that field `name` gives as a file name, as bytes or as `{"bytes": ..., "path": ...}`.

        `under` are the folders that are tried in turn for a file name.
        """
        data = self._bytes(_only(value, name), name, under)
        suffix = sniffed(data)
        if suffix not in IMAGE_SUFFIXES:
            raise FieldError(name, f"is no image of a known format ({len(data):,} bytes that begin with {data[:8]!r})")
        return self._readable(Content(kind=MediaKind.IMAGE, suffixes=(suffix,), data=(data,)), name)

    def video(self, value: Any, name: str, *, under: Sequence[str] = ("",)) -> Content:
        """The video that field `name` gives as a file, as bytes, as a folder of frames or as a list of frames."""
        if isinstance(value, list | tuple):
            return self._frames(value, name, under)
        if isinstance(value, str) and (frames := self._listing(value, name, under)):
            return self._frames(frames, name, ("",))
        data = self._bytes(value, name, under)
        suffix = sniffed(data)
        if suffix not in VIDEO_SUFFIXES and suffix != "gif":
            raise FieldError(name, f"is no video of a known format ({len(data):,} bytes that begin with {data[:12]!r})")
        return self._readable(Content(kind=MediaKind.VIDEO, suffixes=(suffix,), data=(data,)), name)

    def _readable(self, content: Content, name: str) -> Content:
        """`content`, if whoever reads the shards will read it: always by its header, by its frames where all is
        decoded."""
        try:
            if self._decode:
                load_frames(content.as_media(name), DECODE_POLICY)
            elif content.kind is MediaKind.IMAGE:
                check_header(content.data[0], name=name)
        except MediaError as error:
            raise FieldError(name, str(error)) from error
        return content

    def _frames(self, frames: Sequence[Any], name: str, under: Sequence[str]) -> Content:
        limit = MediaLimits().max_frames
        if not 1 <= len(frames) <= limit:
            raise FieldError(name, f"has {len(frames):,} frames; allowed are 1 to {limit:,}")
        images = [self.image(frame, name, under=under) for frame in frames]
        return Content(
            kind=MediaKind.VIDEO,
            suffixes=tuple(image.suffixes[0] for image in images),
            data=tuple(image.data[0] for image in images),
        )

    def _bytes(self, value: Any, name: str, under: Sequence[str]) -> bytes:
        if isinstance(value, Mapping):
            inside_it = value.get("bytes")
            value = as_bytes(inside_it, name) if isinstance(inside_it, str) else inside_it or value.get("path")
        if isinstance(value, str) and value:
            value = as_bytes(value, name) if is_encoded(value) else self._read(value, name, under)
        if not isinstance(value, bytes):
            raise FieldError(
                name, f"is a {type(value).__name__}; it must be a file name, bytes, or an object with one of them"
            )
        if not value:
            raise FieldError(name, "is empty (0 bytes)")
        if len(value) > MAX_FILE_BYTES:
            raise FieldError(name, f"has {len(value):,} bytes; allowed are {MAX_FILE_BYTES:,}")
        return value

    def _read(self, value: str, name: str, under: Sequence[str]) -> bytes:
        places = self._places(value, name, under)
        for path in places:
            if (data := self._file(path, name)) is not None:
                return data
        for path in places:
            if path in self._archives:
                return self._archives.read(path, field=name)
        raise FieldError(name, f"{value!r} is not in the input folder{_tried(under)}")

    def _file(self, path: str, name: str) -> bytes | None:
        """The bytes of a regular file, or None. Plain system calls: this is most of the work of a conversion."""
        folder = path.rpartition("/")[0]
        try:
            if folder not in self._own_folders:
                self._refuse_outside(self.media_root / folder, name)
                self._own_folders.add(folder)
            handle = self._open(f"{self._prefix}{path}", name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            return None
        with os.fdopen(handle, "rb") as file:
            if status.st_size > MAX_FILE_BYTES:
                raise FieldError(name, f"{path!r} has {status.st_size:,} bytes; allowed are {MAX_FILE_BYTES:,}")
            return file.read()

    def _open(self, path: str, name: str) -> int:
        # Without O_NONBLOCK a named pipe would hold the conversion up for ever.
        flags = os.O_RDONLY | os.O_NONBLOCK
        try:
            return os.open(path, flags | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            self._refuse_outside(Path(path), name)
            return os.open(path, flags)

    def _listing(self, value: str, name: str, under: Sequence[str]) -> list[str]:
        """The frames of the folder that `value` names, in natural order; empty where it names no folder."""
        places = self._places(value, name, under)
        for path in places:
            target = self.media_root / path
            if target.is_dir():
                self._refuse_outside(target, name)
                frames = [
                    f"{path}/{entry.name}" for entry in target.iterdir() if entry.suffix[1:].lower() in IMAGE_SUFFIXES
                ]
                if not frames:
                    raise FieldError(name, f"folder {value!r} holds no frames ({', '.join(IMAGE_SUFFIXES)})")
                return sorted(frames, key=natural_order)
            if target.is_file():
                return []
        for path in places:
            if frames := [
                member for member in self._archives.listing(path) if member.rpartition(".")[2].lower() in IMAGE_SUFFIXES
            ]:
                return sorted(frames, key=natural_order)
        return []

    @cached_property
    def _archives(self) -> Archives:
        return Archives(self.media_root)

    def _places(self, value: str, name: str, under: Sequence[str]) -> list[str]:
        relative = inside(value.removeprefix(self._prefix), name)
        return [f"{folder}/{relative}" if folder not in ("", ".") else relative for folder in under]

    def _refuse_outside(self, target: Path, name: str) -> None:
        if not target.resolve().is_relative_to(self.media_root):
            raise FieldError(
                name,
                f"{target.name!r} is a link out of the input folder; copy the media (cp -L) or download them into it",
            )


def _only(value: Any, name: str) -> Any:
    """The one image of a list of one, as many sets write it."""
    if isinstance(value, list | tuple):
        if len(value) != 1:
            raise FieldError(name, f"holds {len(value)} images; a record has a place for one")
        return value[0]
    return value


def looks_like_media(value: Any) -> bool:
    """Whether a value of a row is an image or a video: bytes, base64, or the name of a file of such a type."""
    if isinstance(value, list | tuple):
        return bool(value) and looks_like_media(value[0])
    if isinstance(value, Mapping):
        return looks_like_media(value.get("bytes")) or looks_like_media(value.get("path"))
    if isinstance(value, bytes):
        return sniffed(value) is not None
    if not isinstance(value, str):
        return False
    suffix = value.strip().rpartition(".")[2].lower()
    return is_encoded(value) or (
        suffix in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES) and "\n" not in value and len(value) < 1024
    )


def is_encoded(value: str) -> bool:
    """Whether a text is the medium itself: a data URI, or base64 that begins like an image or a video."""
    return value.startswith("data:") or (len(value) >= MIN_BASE64 and value.startswith(BASE64_BEGINNINGS))


def as_bytes(value: str, name: str) -> bytes:
    """The bytes of a data URI or of base64."""
    head, comma, body = value.partition(",") if value.startswith("data:") else ("", "", value)
    if head and not (comma and head.endswith(";base64")):
        raise FieldError(name, f"is a data URI that begins with {head[:40]!r}; only data:<type>;base64,<bytes> is read")
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except ValueError as error:
        raise FieldError(name, f"is no base64 ({error})") from error


def check_header(data: bytes, *, name: str) -> None:
    """The limits of the decoder, by what the header says. A header that cannot be read is left to `decode=true`."""
    try:
        with decoder_wall(name, kind="image"), Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            size = image.size
    except MediaError:
        return
    check_size(*size, name=name, limits=MediaLimits())


def inside(value: str, name: str) -> str:
    """`value` as a clean relative path; anything that could leave the folder is refused."""
    if "://" in value:
        raise FieldError(name, f"{value[:120]!r} is a URL; download the file into the input folder first")
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if not parts:
        raise FieldError(name, f"is {value!r}, which names no file")
    if value[0] == "/" or value[1:2] == ":" or ".." in parts or "\\" in value or "\0" in value:
        raise FieldError(name, f"{value[:120]!r} leaves the input folder; file names must be relative and go down only")
    return "/".join(parts)


def _tried(under: Sequence[str]) -> str:
    folders = [folder for folder in under if folder not in ("", ".")]
    return f" (also tried under {', '.join(folders)})" if folders else ""


def natural_order(name: str) -> list[tuple[int, str]]:
    """Frame 10 behind frame 9: runs of digits compare as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def sniffed(data: bytes) -> str | None:
    """The suffix that belongs to the first bytes; published files are not always what their names say."""
    if data[:3] == b"\xff\xd8\xff":
        return "jpg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:4] == b"RIFF":
        return {b"WEBP": "webp", b"AVI ": "avi"}.get(data[8:12])
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if data[:2] == b"BM":
        return "bmp"
    if data[4:8] == b"ftyp":
        return "mov" if data[8:12] == b"qt  " else "mp4"
    if data[:4] == b"\x1aE\xdf\xa3":
        return "webm" if b"webm" in data[:64] else "mkv"
    return None


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
