"""Text files that are there completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from urt_core.errors import DataError


def write_whole(path: Path, text: str) -> None:
    """Write `text` beside `path` and move it into its place; after an error, what was there before is still there."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(
            f"{path} can't be written ({error.strerror or error}); free the place and run the command again"
        ) from error
