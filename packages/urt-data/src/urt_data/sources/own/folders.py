"""Pictures and captions in folders, without any table: a name says which pair a file belongs to and what it is in it.

    0001/better.png   0001/worse.png   0001/caption.txt          one folder a pair
    0001.better.png   0001.worse.png   0001.caption.txt          one name a pair, as webdataset has it
    better/0001.png   worse/0001.png   caption/0001.txt          one folder a part

    urt-data convert data=folders input=photos

Parts: better and worse (or chosen and rejected, winner and loser), caption, question, media; or `first`, `second` and `label`, and whatever
`columns` name. All settings are those of `generic`. A caption for several pairs, `caption.txt` at the top, holds for all that have none.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from urt_data.shards.storage import open_regular
from urt_data.shards.tar import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from urt_data.sources.folder import InputFolder
from urt_data.sources.own.generic import PARTS, generic
from urt_data.sources.own.shapes import BETTER, QUESTIONS
from urt_data.sources.rows import BadRow, FieldError, Row
from urt_data.sources.source import Source

MEDIA = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
TEXTS = ("txt", "caption")
MAX_TEXT_BYTES = 2**20
NAMES = frozenset((*PARTS, *QUESTIONS, "label", *(name for names in BETTER for name in names)))
"""What a file or folder may be called to be a part of a pair."""


def folders(*, name: str = "folders", **options: Any) -> Source:
    """A source for folders of files; `options` are those of `generic`."""
    names = NAMES | set((options.get("columns") or {}).values())
    return replace(
        generic(name=name, **options), files=("**/*",), read_folder=lambda folder: read_pairs(folder, names=names)
    )


def read_pairs(folder: InputFolder, *, names: frozenset[str] | set[str]) -> Iterator[Row | BadRow]:
    """One row a pair, in the order of the names; files that are no part of a pair are left alone."""
    pairs: dict[str, dict[str, Any]] = {}
    shared: dict[str, Any] = {}
    for path in sorted(folder.root.rglob("*")):
        relative = path.relative_to(folder.root)
        if not path.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        key, part = _place(PurePosixPath(relative.as_posix()), names)
        if part is not None:
            (pairs.setdefault(key, {}) if key else shared)[part] = relative
    number = 0
    for key, files in pairs.items():
        if len(files) > 1:
            yield _row(folder.root, key, number, {**shared, **files})
            number += 1


def _place(path: PurePosixPath, names: frozenset[str] | set[str]) -> tuple[str, str | None]:
    """The pair and the part that a file belongs to; no part where its name says none, no pair where it is for all."""
    suffix = path.suffix[1:].lower()
    if suffix not in (*MEDIA, *TEXTS):
        return "", None
    stem, dot, role = path.stem.rpartition(".")
    if dot and role in names:
        return (path.parent / stem).as_posix(), role
    if path.stem in names:
        return ("" if path.parent == PurePosixPath(".") else path.parent.as_posix()), path.stem
    parts = [part for part in path.parent.parts if part in names]
    if parts:
        rest = [part for part in path.parent.parts if part != parts[-1]]
        return PurePosixPath(*rest, path.stem).as_posix(), parts[-1]
    return "", None


def _row(root: Path, key: str, number: int, files: dict[str, PurePosixPath]) -> Row | BadRow:
    try:
        values = {
            part: _text(root / file, part) if file.suffix[1:].lower() in TEXTS else file.as_posix()
            for part, file in files.items()
        }
    except FieldError as error:
        return BadRow(file=key, number=number, error=error)
    return Row(file=key, number=number, values=values)


def _text(path: Path, part: str) -> str:
    with open(open_regular(path), "rb") as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise FieldError(part, f"has more than {MAX_TEXT_BYTES:,} bytes of text")
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise FieldError(part, f"is no UTF-8 text ({error.reason} at {error.start})") from error
