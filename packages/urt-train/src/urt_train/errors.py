"""Errors of training, below the tree in `urt_core.errors`.

UrtError
├── ConfigError            a field or command line that can't be: named, with what is allowed (exit 2)
├── CheckpointError        a model folder or checkpoint that is absent, incomplete or of another kind
├── EngineError            an engine that can't answer at all
└── TrainError             training can't start or go on
    ├── MissingStageError  what an earlier stage should have written is not there; names the command that writes it
    ├── NonFiniteError     a loss or gradient is NaN or infinite; raised before the optimizer step (a gradient under DeepSpeed: behind it)
    ├── LostRankError      another process of the run is gone or hangs
    ├── StaleError         a rollout of older weights than allowed
    └── ParityError        engine and trainer give different log-probs to the same tokens
"""

from __future__ import annotations

from urt_core.errors import UrtError


class TrainError(UrtError, RuntimeError):
    """Training can't start or go on."""


class MissingStageError(TrainError):
    """What an earlier stage should have written is not there."""


class NonFiniteError(TrainError, ArithmeticError):
    """A loss or gradient is NaN or infinite."""


class ParityError(TrainError):
    """Engine and trainer give different log-probs to the same tokens."""


class StaleError(TrainError):
    """A rollout was sampled with older weights than allowed."""


class LostRankError(TrainError):
    """Another process of the run is gone or hangs."""


class StoppedError(TrainError):
    """Asked to stop by a signal, after saving."""

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class Stopped(SystemExit):
    """A signal that nobody waited for: the program ends where it is. A SystemExit, which every event loop and wall lets
    through."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)
        self.signal_number = signal_number
