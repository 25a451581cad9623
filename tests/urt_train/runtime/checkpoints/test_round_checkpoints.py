"""When a checkpoint is due, and where a run goes on: counted in optimizer steps, whatever the micro-batches are."""

import signal
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import Trainer

from urt_core.errors import CheckpointError
from urt_train.errors import Stopped, StoppedError
from urt_train.runtime.checkpoints.checkpoint import (
    TRAINER,
    Seal,
    checkpoint_folder,
    fingerprint,
    part_names,
    whole_folder,
)
from urt_train.runtime.checkpoints.round_checkpoints import RoundCheckpoints


def trainer_at(step: int, *, accumulate: int = 1, **more: Any) -> Any:
    return Mock(spec=Trainer, global_step=step, accumulate_grad_batches=accumulate, is_global_zero=True, **more)


class Saved(RoundCheckpoints):
    """Notes the steps of which it would save."""

    def __init__(self, root, **settings) -> None:
        super().__init__(root, keep=1, **settings)
        self.steps: list[int] = []

    def save(self, trainer, module) -> None:
        self.steps.append(trainer.global_step)
        self.last_saved = trainer.global_step


MODULE = SimpleNamespace(num_steps=10, device=torch.device("cpu"))


def run_steps(checkpoints: RoundCheckpoints, steps: range, *, batches_per_step: int = 1) -> None:
    for step in steps:
        for batch in range(batches_per_step):
            is_last = batch == batches_per_step - 1
            trainer = trainer_at(step if is_last else step - 1, accumulate=batches_per_step)
            number = (step - 1) * batches_per_step + batch
            checkpoints.on_train_batch_end(trainer, MODULE, None, None, number)


@pytest.mark.parametrize(
    ("every", "steps_per_round", "expected"),
    [(3, 1, [3, 6, 9, 10]), (3, 2, [4, 8, 10]), (0, 1, [10]), (20, 1, [10])],
)
def test_it_saves_at_the_ends_of_rounds_and_at_the_end(tmp_path, every, steps_per_round, expected):
    checkpoints = Saved(tmp_path, every=every, batches_per_round=4 * steps_per_round)
    run_steps(checkpoints, range(1, 11), batches_per_step=4)
    assert checkpoints.steps == expected


def test_a_signal_ends_the_round_saves_and_says_so_and_a_second_one_ends_at_once(tmp_path):
    checkpoints = Saved(tmp_path, every=100, batches_per_round=2)
    run_steps(checkpoints, range(1, 2))
    checkpoints._on_signal(signal.SIGTERM, None)
    with pytest.raises(StoppedError, match=r"stopped after step 2 of 10, saved in .*step_00000002; the same command"):
        run_steps(checkpoints, range(2, 4))
    assert checkpoints.steps == [2]
    with pytest.raises(Stopped):
        checkpoints._on_signal(signal.SIGTERM, None)


def test_deepspeed_says_that_it_saves_nothing(tmp_path, capsys):
    checkpoints = Saved(tmp_path, every=1)
    strategy = SimpleNamespace(handles_gradient_accumulation=True)
    checkpoints.setup(trainer_at(0, strategy=strategy), MODULE, "fit")
    assert "none is written, a stopped run starts anew" in capsys.readouterr().out
    run_steps(checkpoints, range(1, 11))
    assert checkpoints.steps == []


def write_checkpoint(root, step: int):
    folder, (layout, tensors) = checkpoint_folder(root, step), part_names(0)
    with whole_folder(folder) as partial:
        for name in (TRAINER, layout, tensors):
            (partial / name).write_text("{}")
        files = {name: fingerprint(partial / name) for name in (TRAINER, layout, tensors)}
        Seal(step=step, num_processes=1, files=files).save(partial)
    return folder


def test_auto_takes_the_newest_a_name_takes_that_and_null_takes_none(tmp_path):
    older, newer = write_checkpoint(tmp_path, 3), write_checkpoint(tmp_path, 5)
    for start, expected in (("auto", newer), (str(older), older), (None, None)):
        found = RoundCheckpoints(tmp_path, every=1, keep=1, start=start)._choose()
        assert (None if found is None else found[0]) == expected
    assert RoundCheckpoints(tmp_path / "none", every=1, keep=1, start="auto")._choose() is None


def test_a_byte_that_changed_is_seen_before_anything_is_loaded(tmp_path):
    folder = write_checkpoint(tmp_path, 3)
    checkpoints = RoundCheckpoints(tmp_path, every=1, keep=1, start="auto")
    chosen = checkpoints._choose()
    assert chosen is not None
    checkpoints._check(*chosen)
    (folder / part_names(0)[1]).write_text("[]")  # as long as before
    with pytest.raises(CheckpointError, match=r"rank_00000\.safetensors has other bytes than were written"):
        checkpoints._check(*chosen)


@pytest.mark.parametrize(("accumulate", "done"), [(1, 4), (2, 8), (8, 32)])
def test_a_run_goes_on_in_steps_though_its_micro_batches_are_cut_otherwise(tmp_path, accumulate, done):
    """Saved after four steps of two micro-batches; the schedule goes on with the rate of the fifth."""
    counts = {"ready": 8, "started": 8, "processed": 8, "completed": 8}
    loops = {
        "epoch_loop.batch_progress": {"total": dict(counts), "current": dict(counts), "is_last_batch": True},
    }
    loaded = {}
    group = {"lr": 0.0}
    scheduler = SimpleNamespace(
        base_lrs=[0.1],
        lr_lambdas=[lambda step: 1 - step / 10],
        optimizer=SimpleNamespace(param_groups=[group]),
        last_epoch=0,
        _step_count=0,
    )
    trainer = trainer_at(
        0,
        accumulate=accumulate,
        fit_loop=SimpleNamespace(load_state_dict=loaded.update),
        lr_scheduler_configs=[SimpleNamespace(scheduler=scheduler)],
    )
    RoundCheckpoints(tmp_path, every=1, keep=1)._go_to(trainer, {"step": 4, "loops": loops}, num_steps=10)
    progress = loaded["epoch_loop.batch_progress"]
    assert set(progress["total"].values()) == set(progress["current"].values()) == {done}
    assert progress["is_last_batch"] is False, "a finished run was made longer"
    assert (group["lr"], scheduler.last_epoch, scheduler._step_count) == (pytest.approx(0.06), 4, 5)
