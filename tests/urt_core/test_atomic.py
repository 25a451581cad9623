"""Files that are there completely or not at all, or growing by whole lines."""

import errno
import os

import pytest

from urt_core.atomic import append, remove_temporaries, temporary_path, whole_lines, write_atomically, write_whole
from urt_core.errors import DataError


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_what_was_there_and_nothing_beside_it(tmp_path, monkeypatch, call):
    path = tmp_path / "judge.json"
    write_atomically(path, b"old")

    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left on device"):
            write_atomically(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["judge.json"]
    assert path.read_bytes() == b"old"


def test_what_a_killed_writer_left_is_no_shard_and_can_be_cleared_away(tmp_path):
    left = temporary_path(tmp_path / "shard-000000.tar")
    left.write_bytes(b"half")
    assert not list(tmp_path.glob("*.tar"))
    remove_temporaries(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_said_with_the_remedy(tmp_path, monkeypatch, call):
    path = tmp_path / "results.json"
    write_whole(path, "old\n")

    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(DataError, match=r"results\.json can't be written \(No space left on device\); make room in .*"):
        write_whole(path, "new\n")
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
    assert path.read_text() == "old\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a device that is always full")
def test_a_line_that_does_not_fit(tmp_path):
    path = tmp_path / "rows.csv"
    path.symlink_to("/dev/full")
    with pytest.raises(
        DataError, match=r"rows\.csv can't be written \(No space left on device\); make room in .*goes on"
    ):
        append(path, "1,2\n")


def test_half_a_line_at_the_end_is_not_read(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert whole_lines(path) == []
    append(path, "one\u2028 line\n")
    append(path, "two\r\n")
    assert whole_lines(path) == ["one\u2028 line\n", "two\r\n"]
    with path.open("ab") as file:
        file.write("ä".encode()[:1])  # cut inside of a character
    assert whole_lines(path) == ["one\u2028 line\n", "two\r\n"]
