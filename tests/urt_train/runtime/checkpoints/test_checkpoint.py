"""What carries its final name is whole; everything else is never read."""

import errno
import json
import os
import re

import pytest
import torch
from safetensors.torch import save_file

from urt_core.errors import CheckpointError
from urt_train.runtime.checkpoints.checkpoint import (
    COMPLETE,
    TRAINER,
    Seal,
    checkpoint_folder,
    checkpoints,
    fingerprint,
    is_complete,
    newest_checkpoint,
    part_names,
    partial_folder,
    prune,
    read_seal,
    whole_folder,
)
from urt_train.runtime.checkpoints.tensor_file import write_tensors

LAYOUT, TENSORS = part_names(0)


def write_checkpoint(root, step, content="weights"):
    folder = checkpoint_folder(root, step)
    with whole_folder(folder) as partial:
        for name in (TRAINER, LAYOUT):
            (partial / name).write_text("{}")
        (partial / TENSORS).write_text(content)
        files = {name: fingerprint(partial / name) for name in (TRAINER, LAYOUT, TENSORS)}
        Seal(step=step, num_processes=1, files=files).save(partial)
    return folder


def test_a_damaged_newest_one_is_named_and_nothing_is_chosen(tmp_path):
    """Whoever wants the older one says so."""
    assert newest_checkpoint(tmp_path) is None
    old, new = write_checkpoint(tmp_path, 9), write_checkpoint(tmp_path, 10)
    assert newest_checkpoint(tmp_path) == new
    (new / TENSORS).write_text("Weights")  # a bit wrong: seen by its hash, which the ranks share out
    assert not is_complete(new)
    (new / TENSORS).write_text("weight")  # a byte short
    with pytest.raises(
        CheckpointError,
        match=r"step_00000010 is damaged: rank_00000\.safetensors has 6 bytes of its 7 bytes; .*ckpt_path=null; whole is"
        r" ckpt_path=\S+step_00000009",
    ):
        newest_checkpoint(tmp_path)
    (new / TENSORS).unlink()
    with pytest.raises(CheckpointError, match="has none of the its 7 bytes"):
        newest_checkpoint(tmp_path)
    (new / COMPLETE).unlink()
    (old / COMPLETE).unlink()
    with pytest.raises(
        CheckpointError, match=r"step_00000010 is no complete checkpoint: it has no complete\.json; (?!.*whole)"
    ):
        newest_checkpoint(tmp_path)


DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "names no format"),
        ([], "names no format"),
        (None, "names no format"),
        ({"state.ckpt": [3, DIGEST]}, "Checkpoints of pickles .* are never opened"),
        ({"format": 3}, "has format 3, this version of urt-train reads 2: use the version that wrote it"),
        ({"format": 2}, "is not as it is written"),
        ({"format": 2, "step": 1, "num_processes": 1, "files": []}, "is not as it is written"),
        ({"format": 2, "step": 1, "num_processes": 1, "files": {}}, "no complete checkpoint of 1 processes"),
        ({"format": 2, "step": 1, "num_processes": 0, "files": {}}, "no complete checkpoint of 0 processes"),
        ({"format": 2, "step": 1, "num_processes": 2, "files": "whole"}, r"of 2 processes \(\['rank_00001"),
        ({"format": 2, "step": 1, "num_processes": 1, "files": "beside"}, r"of 1 processes \(\['\.\./evil"),
        ({"format": 2, "step": 1, "num_processes": 1, "files": "unhashed"}, "has no SHA-256"),
    ],
)
def test_complete_is_all_files_of_all_processes_with_their_hashes(tmp_path, content, said):
    folder = write_checkpoint(tmp_path, 1)
    whole = json.loads((folder / COMPLETE).read_text())["files"]
    kinds = {
        "whole": whole,
        "beside": whole | {"../evil": [0, DIGEST]},
        "unhashed": {name: [size, ""] for name, (size, _) in whole.items()},
    }
    if isinstance(content, dict) and isinstance(content.get("files"), str):
        content = content | {"files": kinds[content["files"]]}
    (folder / COMPLETE).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=said) as refused:
        read_seal(folder)
    assert "\n" not in str(refused.value)
    assert not is_complete(folder)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b""])
def test_what_is_no_json_is_named(tmp_path, content):
    folder = write_checkpoint(tmp_path, 1)
    (folder / COMPLETE).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"complete\.json can't be read"):
        read_seal(folder)


def test_a_link_is_no_file_of_a_checkpoint(tmp_path):
    folder = write_checkpoint(tmp_path, 1)
    (folder / TENSORS).rename(tmp_path / "elsewhere")
    (folder / TENSORS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_seal(folder)


def test_what_was_laid_beside_the_sealed_files_is_named(tmp_path):
    folder = write_checkpoint(tmp_path, 1)
    (folder / ".nfs0001").touch()
    assert newest_checkpoint(tmp_path) == folder
    (folder / "state.ckpt").touch()
    with pytest.raises(CheckpointError, match=r"step_00000001 was changed after it was sealed.* state\.ckpt"):
        newest_checkpoint(tmp_path)


def test_killed_while_saving_leaves_the_last_one(tmp_path):
    kept = write_checkpoint(tmp_path, 5)
    partial = partial_folder(checkpoint_folder(tmp_path, 6))
    partial.mkdir()
    (partial / TENSORS).write_text("half")
    assert newest_checkpoint(tmp_path) == kept
    again = write_checkpoint(tmp_path, 6)  # the leftover is in nobody's way
    assert newest_checkpoint(tmp_path) == again


def test_an_error_inside_leaves_the_old_folder(tmp_path):
    folder = tmp_path / "model"
    with whole_folder(folder) as partial:
        (partial / "weights").write_text("old")

    def write_on_a_full_disk() -> None:
        with whole_folder(folder) as partial:
            (partial / "weights").write_text("new")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(
        CheckpointError,
        match=r"model can't be written \(No space left on device\); what was there before is intact\. Make room in ",
    ):
        write_on_a_full_disk()
    assert (folder / "weights").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("number", range(1, 10))
def test_a_disk_that_fills_at_any_call_leaves_the_last_checkpoint(tmp_path, monkeypatch, number):
    """The n-th call that makes a save durable fails for want of space; nine come before it is in its place (seven
    syncs, two renames)."""
    kept = write_checkpoint(tmp_path, 5)
    again = write_checkpoint(tmp_path, 6)  # is replaced, which takes two renames
    calls = 0

    def failing(original):
        def call(*arguments, **settings):
            nonlocal calls
            calls += 1
            if calls == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*arguments, **settings)

        return call

    with monkeypatch.context() as patch:
        for name in ("fsync", "replace"):
            patch.setattr(os, name, failing(getattr(os, name)))
        with pytest.raises(CheckpointError, match="No space left on device"):
            write_checkpoint(tmp_path, 6, content="newer")
    assert calls >= number
    assert is_complete(kept)
    assert is_complete(again)
    assert not partial_folder(again).exists()
    write_checkpoint(tmp_path, 6, content="newest")
    assert newest_checkpoint(tmp_path) == again
    assert (again / TENSORS).read_text() == "newest"
    assert sorted(path.name for path in tmp_path.iterdir()) == [kept.name, again.name]


WRITERS = {
    "safetensors": lambda folder: save_file({"a": torch.zeros(4096)}, folder / "model.safetensors"),
    "a checkpoint": lambda folder: write_tensors(folder / "rank.safetensors", {"a": torch.zeros(4096)}),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_may_meet_a_full_disk(tmp_path, writer):
    """Files of this process may not grow beyond 2 kB: a real error of the kernel, also for a writer in Rust."""
    resource = pytest.importorskip("resource", reason="needs POSIX limits")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    message = ""
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
        try:
            with whole_folder(tmp_path / "model") as partial:
                WRITERS[writer](partial)
        except CheckpointError as error:
            message = str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert re.search(
        r"model can't be written \(.+\); what was there before is intact\. Make room in \S+, then", message
    )
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_killed_between_the_renames_the_old_folder_comes_back(tmp_path):
    folder = tmp_path / "model"
    with whole_folder(folder) as partial:
        (partial / "weights").write_text("old")
    os.replace(folder, tmp_path / "model.old")
    with pytest.raises(CheckpointError), whole_folder(folder):
        raise OSError(errno.EIO, "broken")
    assert (folder / "weights").read_text() == "old"


def test_a_pipe_in_the_place_of_the_seal_is_not_waited_for(tmp_path):
    folder = write_checkpoint(tmp_path, 1)
    (folder / "complete.json").unlink()
    os.mkfifo(folder / "complete.json")
    with pytest.raises(CheckpointError, match="not a regular file"):
        newest_checkpoint(tmp_path)


def test_pruning_keeps_the_newest(tmp_path):
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, step)
    partial_folder(checkpoint_folder(tmp_path, 4)).mkdir()
    prune(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000002", "step_00000003"]


@pytest.mark.parametrize("num_removed", range(6))
def test_pruning_that_is_cut_off_leaves_no_half_checkpoint(tmp_path, monkeypatch, num_removed):
    """Killed after any number of the files that it removes: what is called a checkpoint is whole, and the next one ends
    the work."""
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, step)

    def cut_off(path, **_):
        for file in sorted(path.iterdir())[:num_removed]:
            file.unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr("urt_train.runtime.checkpoints.checkpoint.shutil.rmtree", cut_off)
    with pytest.raises(KeyboardInterrupt):
        prune(tmp_path, keep=2)
    monkeypatch.undo()
    assert all(map(is_complete, checkpoints(tmp_path)))
    prune(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000002", "step_00000003"]
