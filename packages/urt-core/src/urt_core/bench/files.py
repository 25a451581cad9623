"""Files of judgements, read line by line, with the numbers that an error names."""

import gzip
import json
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from urt_core.errors import DataError
from urt_core.judging.journal import LINES, newest_lines, parts_of

GZIP = b"\x1f\x8b"
"""What a compressed file begins with (RFC 1952)."""


def numbered_lines(path: str | Path) -> Iterator[tuple[int, Any]]:
    """(line number, object of the line) of a JSONL file, plain or gzip, or of a run's folder."""
    path = Path(path)
    if path.is_dir() and not (path / LINES).exists() and (parts := parts_of(path)):
        yield from enumerate(newest_lines(parts), start=1)  # of a run that was stopped
        return
    if path.is_dir():
        path = path / LINES
    if not path.is_file():
        raise DataError(
            f"{path} does not exist; name a JSONL file of judgements, or a folder that `urt bench run` has written"
        )
    number = 0
    try:
        with open_plain(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, parsed(line, path=path, number=number)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read beyond line {number} ({error}); fetch it again") from None


def open_plain(path: Path) -> gzip.GzipFile | BufferedReader:
    """A compressed file is told by its first bytes, whatever it is called."""
    with path.open("rb") as file:
        is_compressed = file.read(2) == GZIP
    return gzip.open(path, "rb") if is_compressed else path.open("rb")


def parsed(line: bytes, *, path: Path, number: int) -> Any:
    where = f"{path}, line {number}:"
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is not UTF-8 ({error.reason} at byte {error.start}); write the file again in UTF-8"
        ) from None
    except RecursionError:
        raise DataError(f"{where} is nested too deeply; mend or remove the line") from None
    except ValueError as error:
        if not line.endswith(b"\n"):
            raise DataError(
                f"{where} is half a line, of a run that was stopped; run the same command again to finish it, or remove the line"
            ) from None
        raise DataError(f"{where} is not JSON ({error}); write the file again, one object a line") from None
