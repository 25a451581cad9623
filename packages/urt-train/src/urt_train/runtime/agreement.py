"""What all ranks prove to one another before anything is computed: one folder, one identity, one code."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import distributed

from urt_core.errors import ConfigError, DataError, UrtError
from urt_train.runtime.identity import changes, code_hash
from urt_train.runtime.ranks import from_first, raise_first, wait_for_all, world

SECONDS_UNTIL_SEEN = 20.0
"""A network file system may keep for that long what it knew of a folder."""


def agree(folder: Path, identity: Mapping[str, Any], *, patience_s: float = SECONDS_UNTIL_SEEN) -> None:
    """Every rank takes part; a difference is an error on all of them. `identity` is what each rank can say without
    reading weights."""
    if world()[1] == 1:
        return
    _see_one_folder(folder, patience_s=patience_s)
    are_alike({**identity, "code": code_hash()})


def _see_one_folder(folder: Path, *, patience_s: float) -> None:
    def leave_token() -> str:
        token = folder / f".seen_by_all_{secrets.token_hex(8)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            token.touch()
        except OSError as error:
            raise DataError(
                f"{folder} can't be written ({error.strerror}); make it writable, or set output_root"
            ) from error
        return token.name

    name = from_first(leave_token)
    failure: UrtError | None = None
    deadline = time.monotonic() + patience_s
    while not (folder / name).exists():
        if time.monotonic() > deadline:
            failure = ConfigError(
                f"{folder.absolute()} on {socket.gethostname()} (rank {world()[0]}) is not the folder that rank 0 writes: set output_root"
                " to a folder that all nodes share"
            )
            break
        time.sleep(0.1)
    raise_first(failure)
    wait_for_all()
    if world()[0] == 0:
        (folder / name).unlink(missing_ok=True)


def are_alike(own: Mapping[str, Any]) -> None:
    """Every rank has the same values under the same names."""
    if world()[1] == 1:
        return
    everybody: list[Any] = [None] * world()[1]
    distributed.all_gather_object(everybody, (socket.gethostname(), dict(own)))
    first_host, first = everybody[0]
    for rank, (host, other) in enumerate(everybody):
        if found := changes(first, other):
            name, (value, its_value) = next(iter(found.items()))
            raise ConfigError(
                f"rank {rank} on {host} has {name} {its_value!r}, rank 0 on {first_host} has {value!r}; start all ranks with the same"
                " command, code and packages"
            )
