"""Files that are there completely or not at all."""

import errno
import os

import pytest

from urt_core.atomic import remove_temporaries, temporary_path, write_atomically


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
