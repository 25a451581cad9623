"""Files of judgements, line by line, with the numbers that an error names."""

import gzip
import re
from pathlib import Path

import pytest

from urt_core.bench.files import numbered_lines
from urt_core.errors import DataError

TEXT = '{"a": 1}\n\n{"a": 2}\n'


def test_lines_are_numbered_plain_and_packed(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(TEXT)
    with gzip.open(tmp_path / "two.jsonl.gz", "wt") as file:
        file.write(TEXT)
    (tmp_path / "three.jsonl").write_bytes((tmp_path / "two.jsonl.gz").read_bytes())  # as a browser may have named it
    (tmp_path / "four.jsonl.gz").write_text(TEXT)
    for name in ("one.jsonl", "two.jsonl.gz", "three.jsonl", "four.jsonl.gz"):
        assert list(numbered_lines(tmp_path / name)) == [(1, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'{"a": 1}\n{"a": \n', "line 2: is not JSON"),
        (b'{"a": 1}\n{"a": 1', "line 2: is half a line"),
        (b'{"a": 1}\n\xff\xfe\n', "line 2: is not UTF-8 .*; write the file again in UTF-8"),
        (b'{"a": 1}\n' + b"[" * 100_000 + b"\n", "line 2: is nested too deeply"),
        (gzip.compress(TEXT.encode() * 50, mtime=0)[:-12], "cannot be read beyond line .*; fetch it again"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(path)) + ".*" + what):
        list(numbered_lines(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jsonl does not exist"):
        list(numbered_lines(tmp_path / "gone.jsonl"))
