"""JSON files -> rows: an array, one object a line, one printed object, or rows wrapped in an object; never the whole
file at once.

    [{...}, {...}]      {"data": [{...}, {...}]}      {...}\\n{...}      {\\n  "text": ...\\n}

A row that is no JSON, or too deep or too long for Python to read, is a `FieldError` in its place.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from urt_data.sources.reading.row_errors import MAX_ROW_BYTES, FieldError

JSON_CHUNK = 2**20
JSON_DECODER = json.JSONDecoder()
BLANKS = re.compile(r"[ \t\r\n]*")
MARKS = re.compile(r'["{}\[\]]')
DIGITS = re.compile(r"[-+.eE\d]*")
STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.S)
WRAPPERS = (
    "data",
    "rows",
    "pairs",
    "samples",
    "items",
    "records",
    "examples",
    "annotations",
    "train",
    "test",
    "validation",
)
"""The keys that hold the rows where a file is one object."""
LOST = "is no valid JSON or the file ends inside it; this row and all behind it are lost"


def read_json(path: Path, *, within: str | None) -> Iterator[Any]:
    """The rows of a `.json` file, decoded one by one. Behind a syntax error there is no telling where the next row
    starts.

    `within` is the only key that may hold the rows; without it any of `WRAPPERS` may.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        text = JsonText(file)
        if (text.peek() == "[" and within is None) or (
            text.peek() == "{" and text.enter(WRAPPERS if within is None else (within,))
        ):
            yield from text.array()
        elif within is not None:
            yield FieldError("row", f"the file is no JSON object with {within!r}")
        elif _is_one_a_line(path):
            yield from read_lines(path)
        else:
            file.seek(0)
            yield from JsonText(file).values()


def read_lines(path: Path) -> Iterator[Any]:
    """One row a line; a line that cannot be read costs itself."""
    with path.open("rb") as file:
        while line := file.readline(MAX_ROW_BYTES):
            if not (line := line.removeprefix(b"\xef\xbb\xbf").strip()):
                continue
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                yield FieldError("row", f"is no valid JSON ({error})")


def _is_one_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        line = file.readline(MAX_ROW_BYTES).removeprefix(b"\xef\xbb\xbf").strip()
    return line[-1:] == b"}" or line[:1] != b"{"


class JsonText:
    """A window that moves over a JSON file: what lies behind it is let go, what lies ahead is not read yet."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0

    def peek(self) -> str:
        """The next character that is no blank; nothing at the end of the file."""
        while True:
            blanks = BLANKS.match(self._text, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read(JSON_CHUNK):
                return ""

    def step(self) -> None:
        self._at += 1

    def array(self) -> Iterator[Any]:
        """The items of the array that begins here, or the rest of it that can be read."""
        self.step()
        while self.peek() != "]":
            item = self.item()
            yield item
            if isinstance(item, FieldError) and item.reason == LOST:
                return
            if self.peek() == ",":
                self.step()
            elif self.peek() != "]":
                yield FieldError("row", "is not followed by ',' or ']'; all rows behind it are lost")
                return

    def values(self) -> Iterator[Any]:
        """Values one behind the other, with nothing but blanks between them."""
        while self.peek():
            item = self.item()
            yield item
            if isinstance(item, FieldError) and item.reason == LOST:
                return

    def enter(self, names: tuple[str, ...]) -> bool:
        """Go to the array under one of `names` of the object that begins here; False where it has none, or is no
        JSON."""
        self.step()
        while self.peek() == '"':
            name = self.item()
            if self.peek() != ":":
                return False
            self.step()
            if self.peek() == "[" and name in names:
                return True
            if isinstance(self.item(), FieldError) or self.peek() != ",":
                return False
            self.step()
        return False

    def item(self) -> Any:
        """The value that begins here; a `FieldError` where it cannot be read."""
        while True:
            ahead = len(self._text) - self._at
            try:
                item, end = JSON_DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                # Doubling keeps the repeated decoding of a long item linear in its length.
                if ahead <= MAX_ROW_BYTES and self._read(max(JSON_CHUNK, ahead)):
                    continue
                return FieldError("row", LOST)
            except (ValueError, RecursionError) as error:
                # Numbers of thousands of digits, or nesting of thousands of levels: Python gives up, the file goes on.
                return FieldError("row", f"cannot be read ({error})" if self._skip() else LOST)
            # A number at the end of the window may go on behind it; objects, which rows are, end with their brace.
            if end == len(self._text) and self._text[end - 1] not in '}]"' and self._read(JSON_CHUNK):
                continue
            self._at = end
            return item

    def _skip(self) -> bool:
        """Step over the value that begins here without building it; False where it does not end within the bound."""
        if self._text[self._at] not in "{[":
            return self._skip_number()
        depth, place = 0, self._at
        while len(self._text) - self._at <= MAX_ROW_BYTES:
            mark = MARKS.search(self._text, place)
            if mark is None:
                seen = len(self._text) - self._at
            elif mark[0] != '"':
                depth += 1 if mark[0] in "{[" else -1
                place = mark.end()
                if depth == 0:
                    self._at = place
                    return True
                continue
            elif string := STRING.match(self._text, mark.start()):
                place = string.end()
                continue
            else:
                seen = mark.start() - self._at  # a string that goes on behind the window
            if not self._read(JSON_CHUNK):
                return False
            place = self._at + seen
        return False

    def _skip_number(self) -> bool:
        while (end := DIGITS.match(self._text, self._at).end()) == len(self._text):  # type: ignore[union-attr]  # matches nothing, too
            if end - self._at > MAX_ROW_BYTES or not self._read(JSON_CHUNK):
                return False
        self._at = end
        return True

    def _read(self, size: int) -> bool:
        chunk = self._file.read(size)
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return bool(chunk)
