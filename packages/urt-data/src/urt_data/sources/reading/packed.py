"""Archives as one file that can be read anywhere: plain tars as they are, compressed and split ones by a copy in the
temporary folder.

images.tar      images.tar.gz      images.tar.zst      images.tar.gz.00 images.tar.gz.01      images.zip.001 images.zip.002
"""

import bz2
import gzip
import io
import lzma
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from urt_core.errors import ConfigError, DataError, UrtError
from urt_data.shards.storage import open_regular

NAME = re.compile(
    r"(?P<stem>.+?)\.(?P<kind>tar(?:\.(?:gz|bz2|xz|zst))?|tgz|tbz2?|txz|tzst|zip)(?P<part>\.?(?:part|vol)?[-_.]?(?:[0-9]{1,5}|[a-z]{2}))?",
    re.IGNORECASE,
)
PACKING = {"tgz": "gz", "tbz": "bz2", "tbz2": "bz2", "txz": "xz", "tzst": "zst"}
MAX_EXPANSION = 100
"""An archive that grows more than this is none of compressed images."""
CHUNK = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """One archive and the files it lies in.

    Packed(stem="images", kind="tar.gz", paths=(Path("images.tar.gz.00"), Path("images.tar.gz.01")))
    """

    stem: str
    kind: str
    paths: tuple[Path, ...]

    @property
    def name(self) -> str:
        return self.paths[0].name if len(self.paths) == 1 else f"{self.stem}.{self.kind} ({len(self.paths)} parts)"

    @property
    def is_zip(self) -> bool:
        return self.kind == "zip"

    @property
    def packing(self) -> str:
        """gz, bz2, xz, zst, or nothing."""
        return PACKING.get(self.kind, self.kind.partition(".")[2])

    def open(self) -> IO[bytes]:
        """The archive without its compression, ready to be read at any place."""
        if len(self.paths) == 1 and not self.packing:
            return open(open_regular(self.paths[0]), "rb")
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asked for it closes it
        try:
            with decoding(self.name, f"{self.packing or 'split'} file"):
                self._unpack(copy)
        except DataError:
            copy.close()
            raise
        copy.seek(0)
        return copy

    def _unpack(self, copy: IO[bytes]) -> None:
        budget = MAX_EXPANSION * sum(path.stat().st_size for path in self.paths)
        with (
            io.BufferedReader(_Joined(self.paths), CHUNK) as joined,
            _unpacked(joined, self.packing, self.name) as content,
        ):
            while chunk := content.read(CHUNK):
                budget -= len(chunk)
                if budget < 0:
                    raise DataError(
                        f"{self.name} expands to more than {MAX_EXPANSION} times its size; it is no archive of images"
                    )
                copy.write(chunk)


def find_packed(root: Path) -> list[Packed]:
    """The archives below `root` in a fixed order, the parts of each together. Links and hidden files are left alone."""
    found: dict[tuple[Path, str, str], list[tuple[str, Path]]] = defaultdict(list)
    for path in sorted(root.rglob("*")):
        match = NAME.fullmatch(path.name)
        # Hidden files are shards in the making, where the output folder lies inside the input.
        if match and not path.name.startswith(".") and not path.is_symlink() and path.is_file():
            found[path.parent, match["stem"], match["kind"].lower()].append((match["part"] or "", path))
    packed = []
    for (_, stem, kind), parts in found.items():
        whole = [path for part, path in parts if not part]
        groups = [(path,) for path in whole] or [_in_order(parts)]
        packed += [Packed(stem=stem, kind=kind, paths=paths) for paths in groups]
    return packed


def _in_order(parts: list[tuple[str, Path]]) -> tuple[Path, ...]:
    """Parts by their number or letters; a gap means that one was not downloaded."""
    marks = {re.sub(r"^\.?(?:part|vol)?[-_.]?", "", part.lower()): path for part, path in parts}
    numbers = sorted(_place(mark) for mark in marks)
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    if missing or numbers[0] > 1 or len(numbers) != len(parts):
        names = ", ".join(path.name for _, path in parts)
        raise DataError(
            f"the parts {names} are not all of one archive ({len(missing) or 'the first'} missing); download the others beside them"
        )
    return tuple(path for _, path in sorted(marks.items(), key=lambda item: _place(item[0])))


def _place(mark: str) -> int:
    """`07` is 7; `ab`, as `split` names its second part, is 1."""
    return int(mark) if mark.isdigit() else (ord(mark[0]) - ord("a")) * 26 + ord(mark[1]) - ord("a")


@contextmanager
def decoding(name: str, what: str) -> Iterator[None]:
    """The wall around decoders of archives: what they raise over damaged bytes is one `DataError` that names the
    archive."""
    try:
        yield
    except UrtError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # zlib, lzma, zipfile and Arrow have a dozen kinds, some of them undocumented
        raise DataError(
            f"{name} is a damaged {what} ({type(error).__name__}: {error}); download it again, or unpack what is left of it"
        ) from error


def _unpacked(file: Any, packing: str, name: str) -> Any:
    if packing == "zst":
        try:
            import pyarrow
        except ImportError as error:
            raise ConfigError(
                f"{name}: reading zst needs pyarrow; pip install 'urt-data[parquet]', or unpack it (zstd -d)"
            ) from error
        return pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), "zstd")
    opened = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}.get(packing)
    return opened(file) if opened else file


class _Joined(io.RawIOBase):
    """Several files read as one."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._paths = list(paths)
        self._file: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._file is not None or self._paths:
            if self._file is None:
                self._file = open(open_regular(self._paths.pop(0)), "rb")  # noqa: SIM115 - closed at its end
            if count := self._file.readinto(buffer):  # type: ignore[attr-defined]  # a buffered reader has it
                return count
            self._file.close()
            self._file = None
        return 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()
