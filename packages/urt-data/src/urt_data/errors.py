"""Errors of stored preference data, hung into the tree of `urt_core.errors`.

UrtError
├── DataError                         stored data that is damaged or incomplete
│   ├── ShardError                    a shard, its index or its manifest
│   │   ├── SampleError               one sample of a shard; knows shard and key, so it can be quarantined
│   │   └── AddressError              a remote or the cache before it; says nothing about any sample
│   └── QuarantineError               more bad samples than the budget of the run allows
├── ConfigError
│   ├── MixtureError                  weights, caps or repeats that cannot be met
│   ├── LabelError                    labels whose meaning only their owner knows
│   └── LicenceError                  a source whose licence the run does not allow
└── CheckpointError
    └── StreamStateError              a stream state that belongs to other data or another seed
"""

from urt_core.errors import CheckpointError, ConfigError, DataError, ShardError

__all__ = [
    "AddressError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "LabelError",
    "LicenceError",
    "MixtureError",
    "QuarantineError",
    "SampleError",
    "ShardError",
    "StreamStateError",
]


class SampleError(ShardError):
    """One sample of a shard that cannot be read as what its index promises."""

    def __init__(self, *, shard: str, key: str, reason: str) -> None:
        super().__init__(f"shard {shard}, sample {key}: {reason}")
        self.shard = shard
        self.key = key
        self.reason = reason

    def __reduce__(self) -> tuple:
        # Keyword-only arguments do not survive the default reduction, and worker processes send this error home.
        return _sample_error, (self.shard, self.key, self.reason)


def _sample_error(shard: str, key: str, reason: str) -> SampleError:
    return SampleError(shard=shard, key=key, reason=reason)


class AddressError(ShardError):
    """A remote that cannot be reached, or a cache that cannot be written: no sample is to blame, and none is set aside for it."""


class QuarantineError(DataError):
    """More bad samples than the budget of the run allows."""


class MixtureError(ConfigError):
    """Weights, caps or repeats that cannot be met by the data."""


class LabelError(ConfigError):
    """Labels whose meaning only their owner knows; the message shows the readings and the setting that decides."""


class LicenceError(ConfigError):
    """A source whose licence the run does not allow."""


class StreamStateError(CheckpointError):
    """A stream state that belongs to other data, another seed or another version."""
