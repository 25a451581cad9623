"""A checkpoint that is written while the run goes on.

The state is copied to main memory at the end of a round; a thread writes and hashes it. Each process writes its own
part; the first one gives the folder its name when the part of every process is there. A failure is raised on every
process, at the end of the round in which it is seen.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from urt_core.errors import CheckpointError
from urt_train.runtime.checkpoints.checkpoint import (
    TRAINER,
    Seal,
    begin,
    fingerprint,
    part_names,
    partial_folder,
    prune,
    publish,
    read_json,
    write_json,
    written,
)
from urt_train.runtime.checkpoints.tensor_file import Piece, write_tensors
from urt_train.runtime.ranks import from_first, world

SECONDS_BETWEEN_LOOKS = 0.05


class Save:
    """Save(folder, step=12, keep=1, trainer={...}, tensors={name: (CPU tensor, piece)}, plain={"random": ...}); every
    rank makes one.

    The tensors are this save's own from now on. `finish` waits for it; `failure` is what went wrong so far on this
    rank.
    """

    def __init__(
        self,
        folder: Path,
        *,
        step: int,
        keep: int,
        trainer: Mapping[str, Any],
        tensors: Mapping[str, tuple[Tensor, Piece]],
        plain: Mapping[str, Any],
    ) -> None:
        self.folder, self.step, self.keep = folder, step, keep
        self.trainer, self.tensors, self.plain = trainer, tensors, plain
        self.failure: CheckpointError | None = None
        self._given_up = threading.Event()
        self._has_written = threading.Event()
        self.token = from_first(self._begin)
        """Of this attempt; what an earlier one left behind has another."""
        self._thread = threading.Thread(target=self._run, name=f"save {folder.name}", daemon=True)
        self._thread.start()

    def _begin(self) -> str:
        with written(self.folder):
            begin(self.folder)
        return secrets.token_hex(8)

    def wait_for_own_part(self) -> None:
        self._has_written.wait()

    def give_up(self) -> None:
        """Another process has failed: there will be no such checkpoint."""
        self._given_up.set()
        self._thread.join()
        if world()[0] == 0:
            shutil.rmtree(partial_folder(self.folder), ignore_errors=True)

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            with written(self.folder, is_owner=world()[0] == 0):
                self._write_part()
                self._has_written.set()
                if world()[0] == 0 and self._all_parts_there():
                    self._seal()
        except CheckpointError as error:
            self.failure = error
        finally:
            self._has_written.set()
            self.tensors = {}

    def _write_part(self) -> None:
        partial, (layout, tensors) = partial_folder(self.folder), part_names(world()[0])
        size, digest = write_tensors(partial / tensors, {name: tensor for name, (tensor, _) in self.tensors.items()})
        places = {name: piece.to_json() for name, (_, piece) in self.tensors.items()}
        # Under another name first: what the first process finds is whole.
        part = {"save": self.token, "tensors": [size, digest], "pieces": places, **self.plain}
        write_json(partial / f"{layout}.partial", part)
        (partial / f"{layout}.partial").rename(partial / layout)

    def _all_parts_there(self) -> bool:
        waiting = [partial_folder(self.folder) / part_names(rank)[0] for rank in range(world()[1])]
        while not self._given_up.is_set():
            waiting = [path for path in waiting if not path.exists() or read_json(path)["save"] != self.token]
            if not waiting:
                return True
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return False

    def _seal(self) -> None:
        partial, num_ranks = partial_folder(self.folder), world()[1]
        write_json(partial / TRAINER, self.trainer)
        files = {TRAINER: fingerprint(partial / TRAINER)}
        for rank in range(num_ranks):
            layout, tensors = part_names(rank)
            size, digest = read_json(partial / layout)["tensors"]
            files |= {layout: fingerprint(partial / layout), tensors: (size, digest)}
        Seal(step=self.step, num_processes=num_ranks, files=files).save(partial)
        publish(self.folder)
        prune(self.folder.parent, keep=self.keep)
