"""A checkpoint written in a thread: sealed when every process's part is there, given up where one has failed."""

import json
import threading

import pytest
import torch
from safetensors.torch import load_file

from urt_train.runtime.checkpoints import saving
from urt_train.runtime.checkpoints.checkpoint import TRAINER, checkpoint_folder, is_complete, part_names, read_seal
from urt_train.runtime.checkpoints.saving import Save
from urt_train.runtime.checkpoints.tensor_file import Piece, write_tensors

WEIGHT = torch.arange(6.0).reshape(2, 3)


def begin(root, step: int, *, keep: int = 1) -> Save:
    return Save(
        checkpoint_folder(root, step),
        step=step,
        keep=keep,
        trainer={"step": step},
        tensors={"weight": (WEIGHT.clone(), Piece.of_all(WEIGHT.shape))},
        plain={"random": step},
    )


def test_it_is_whole_when_it_has_its_name(tmp_path):
    for step in (1, 2, 3):
        save = begin(tmp_path, step, keep=2)
        save.join()
        assert save.failure is None
        assert save.tensors == {}, "main memory is given back"
    folder = checkpoint_folder(tmp_path, 3)
    assert is_complete(folder)
    assert (read_seal(folder).step, read_seal(folder).num_processes) == (3, 1)
    assert json.loads((folder / TRAINER).read_text()) == {"step": 3}
    layout, tensors = part_names(0)
    assert json.loads((folder / layout).read_text())["random"] == 3
    torch.testing.assert_close(load_file(folder / tensors)["weight"], WEIGHT, rtol=0, atol=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000002", "step_00000003"]


@pytest.fixture
def of_two(monkeypatch):
    """This process is the first of two; the other one's part is written by the test."""
    monkeypatch.setattr(saving, "world", lambda: (0, 2))


def other_part(save: Save, *, token: str) -> None:
    layout, tensors = part_names(1)
    partial = save.folder.with_name(f"{save.folder.name}.partial")
    size, digest = write_tensors(partial / tensors, {"weight": WEIGHT})
    (partial / layout).write_text(json.dumps({"save": token, "tensors": [size, digest], "pieces": {}}))


def test_it_waits_for_the_other_process_and_takes_no_part_of_an_earlier_attempt(tmp_path, of_two):
    save = begin(tmp_path, 7)
    save.wait_for_own_part()
    other_part(save, token="of an attempt that was killed")
    save._thread.join(0.3)
    assert save._thread.is_alive()
    assert not save.folder.exists()
    other_part(save, token=save.token)
    save.join()
    assert save.failure is None
    assert read_seal(save.folder).num_processes == 2
    assert is_complete(save.folder)


def test_given_up_nothing_of_it_is_left(tmp_path, of_two):
    kept = checkpoint_folder(tmp_path, 6)
    kept.mkdir()
    save = begin(tmp_path, 7)
    save.wait_for_own_part()
    save.give_up()
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
    assert threading.active_count() == 1 or not save._thread.is_alive()


def test_a_part_that_can_not_be_written_is_this_ranks_failure(tmp_path, monkeypatch):
    def full(path, tensors):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "write_tensors", full)
    save = begin(tmp_path, 4)
    save.join()
    assert "step_00000004 can't be written (No space left on device); what was there before is intact" in str(
        save.failure
    )
    assert list(tmp_path.iterdir()) == []
