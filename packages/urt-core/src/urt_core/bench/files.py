"""Files of judgements, read line by line, with the numbers that an error names."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from urt_core.errors import DataError
from urt_core.judging.journal import LINES, newest_lines, parts_of


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
    try:
        with open_text(path) as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield number, parsed(text, path=path, number=number)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch it again") from None


def open_text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def parsed(text: str, *, path: Path, number: int) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        where = f"{path}, line {number}:"
        if not text.endswith("\n"):
            raise DataError(
                f"{where} is half a line, of a run that was stopped; run the same command again to finish it, or remove the line"
            ) from None
        raise DataError(f"{where} is not JSON ({error}); write the file again, one object a line") from None
