"""Checkpoints between rounds: every so many steps, at the end, and when a signal asked to stop; and going on from
one."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from urt_core.errors import CheckpointError, ConfigError, UrtError
from urt_train.errors import Stopped, StoppedError
from urt_train.runtime.checkpoints.checkpoint import (
    GO_ON,
    TRAINER,
    Seal,
    check_hash,
    checkpoint_folder,
    newest_checkpoint,
    read_json,
    read_seal,
)
from urt_train.runtime.checkpoints.saving import Save
from urt_train.runtime.checkpoints.tensor_file import Piece
from urt_train.runtime.checkpoints.training_state import load, open_reader, pieces, random_state, restore_random_state
from urt_train.runtime.ranks import all_sum, from_first, raise_first, world

MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What reading a JSON file as something that it is not raises."""


class RoundCheckpoints(Callback):
    """RoundCheckpoints(folder / "checkpoints", every=50, keep=1, start="auto", batches_per_round=4)

    `start`: auto (the newest checkpoint, if any), a checkpoint's folder, or None (anew). All ranks agree on it and
    share out the reading of its hashes.
    """

    def __init__(
        self, root: Path, *, every: int, keep: int, start: str | None = None, batches_per_round: int = 1
    ) -> None:
        self.root, self.every, self.keep, self.start = root, every, keep, start
        self.batches_per_round = batches_per_round
        self.last_saved = 0
        self.saving: Save | None = None
        self.signal_number: int | None = None
        self.handlers: dict[int, Any] = {}
        self.resumed: tuple[Path, Seal] | None = None
        self.is_deepspeed = False

    def setup(self, trainer: Trainer, module: Any, stage: str) -> None:
        """Behind the start of the process group, in front of everything that needs the model."""
        self.is_deepspeed = trainer.strategy.handles_gradient_accumulation
        if self.is_deepspeed and trainer.is_global_zero:
            print(
                "strategy is DeepSpeed, whose checkpoints are pickles: none is written, a stopped run starts anew",
                flush=True,
            )
        self.resumed = from_first(self._choose)
        if self.resumed is not None:
            if self.is_deepspeed:
                raise ConfigError(
                    f"{self.resumed[0]} can't go on under DeepSpeed; allowed: strategy=fsdp2 or ddp, or ckpt_path=null, which starts"
                    " anew and loses that run"
                )
            self._check(*self.resumed)

    def _choose(self) -> tuple[Path, Seal] | None:
        if self.start is None:
            return None
        found = newest_checkpoint(self.root) if self.start == "auto" else Path(self.start)
        return None if found is None else (found, read_seal(found))

    def _check(self, folder: Path, seal: Seal) -> None:
        """Every rank sees the folder that the first one chose; each hashes its share of the files."""
        failure: UrtError | None = None
        rank, num_ranks = world()
        try:
            if read_seal(folder) != seal:
                failure = CheckpointError(f"{folder} is another checkpoint on rank {rank} than on rank 0; {GO_ON}")
            for name in sorted(seal.files)[rank::num_ranks]:
                check_hash(folder, seal, name)
        except CheckpointError as error:
            failure = error
        raise_first(failure)

    def on_fit_start(self, trainer: Trainer, module: Any) -> None:
        if self.resumed is None:
            return
        folder, seal = self.resumed
        try:
            load(module, trainer.optimizers[0], open_reader(folder, seal))
            self._go_to(trainer, read_json(folder / TRAINER), num_steps=module.num_steps)
        except MALFORMED as error:
            raise CheckpointError(f"{folder} is not as it is written ({error!r}); {GO_ON}") from error

    def _go_to(self, trainer: Trainer, content: Any, *, num_steps: int) -> None:
        """Lightning's position counts micro-batches; the steps that are done are so many of today's, which may be cut
        otherwise."""
        step, loops = int(content["step"]), content["loops"]
        done = step * trainer.accumulate_grad_batches
        progress = loops["epoch_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            counts |= {name: count + done - counts["ready"] for name, count in counts.items()}
        progress["is_last_batch"] = step >= num_steps  # a finished run may have been made longer
        trainer.fit_loop.load_state_dict(loops)
        for config in trainer.lr_scheduler_configs:
            scheduler: Any = config.scheduler
            scheduler.last_epoch, scheduler._step_count = step, step + 1
            rates = zip(scheduler.base_lrs, scheduler.lr_lambdas, scheduler.optimizer.param_groups, strict=True)
            for base, share, group in rates:
                group["lr"] = base * share(step)

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        self.last_saved = trainer.global_step
        if self.resumed is not None:
            restore_random_state(*self.resumed)
        for number in (signal.SIGINT, signal.SIGTERM):
            self.handlers[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.signal_number is not None:  # asked twice: at once, without saving
            raise Stopped(number)
        self.signal_number = number
        print("\nstopping: this round is finished and saved first; once more stops at once", flush=True)

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (batch_idx + 1) % self.batches_per_round:
            return
        failure = None if self.saving is None else self.saving.failure
        stops, failures = all_sum(
            [float(self.signal_number is not None), float(failure is not None)], device=module.device
        )
        if failures:
            self._finish()
        due = self.every and trainer.global_step - self.last_saved >= self.every
        is_last = trainer.global_step >= module.num_steps  # kept too, in case the export of the model fails
        if (due or is_last or stops) and not self.is_deepspeed:
            self.save(trainer, module)
        if is_last or stops:
            self._finish()
        if stops and not is_last:
            saved = (
                "nothing is saved"
                if self.is_deepspeed
                else f"saved in {checkpoint_folder(self.root, trainer.global_step)}"
            )
            raise StoppedError(
                f"stopped after step {trainer.global_step} of {module.num_steps}, {saved}; the same command goes on",
                signal_number=self.signal_number or signal.SIGTERM,
            )

    def save(self, trainer: Trainer, module: Any) -> None:
        """Begin a checkpoint; every rank takes part. An earlier one is finished first."""
        self._finish()
        plain, tensors = random_state()
        live = pieces(module, trainer.optimizers[0]) | {
            name: (state, Piece.of_all(state.shape)) for name, state in tensors.items()
        }
        step = trainer.global_step
        self.saving = Save(
            checkpoint_folder(self.root, step),
            step=step,
            keep=self.keep,
            trainer=json.loads(json.dumps({"step": step, "loops": trainer.fit_loop.state_dict()})),  # as it is now
            tensors={name: (_copied(tensor), piece) for name, (tensor, piece) in live.items()},
            plain={"random": plain},
        )
        self.last_saved = step

    def _finish(self) -> None:
        """Wait for the checkpoint that is being written; every rank takes part. What failed on one rank is raised on
        all."""
        saving, self.saving = self.saving, None
        if saving is None:
            return
        saving.wait_for_own_part()
        try:
            raise_first(saving.failure)
        except UrtError:
            saving.give_up()
            raise
        saving.join()
        raise_first(saving.failure)  # the first rank's, which gave it its name

    def on_exception(self, trainer: Trainer, module: Any, exception: BaseException) -> None:
        """What is being written may still become whole: this rank's part is finished, the others are not waited for."""
        if self.saving is not None and not isinstance(exception, Stopped):
            self.saving.wait_for_own_part()
            if world()[1] == 1:
                self.saving.join()

    def teardown(self, trainer: Trainer, module: Any, stage: str) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    """In main memory, and not the live one."""
    return tensor.to("cpu", copy=True)
