"""Errors of stored data: what they can be caught as, and how they come home from a worker."""

import pickle

import pytest

from urt_core.errors import CheckpointError, ConfigError, DataError, ShardError, UrtError
from urt_data import errors


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (errors.AddressError, ShardError),
        (errors.SampleError, ShardError),
        (errors.QuarantineError, DataError),
        (errors.MixtureError, ConfigError),
        (errors.LabelError, ConfigError),
        (errors.LicenceError, ConfigError),
        (errors.StreamStateError, CheckpointError),
    ],
)
def test_each_is_of_the_kind_that_the_core_knows(kind: type[Exception], parent: type[Exception]) -> None:
    assert issubclass(kind, parent)
    assert issubclass(kind, UrtError)


def test_a_sample_error_comes_home_with_what_it_knows() -> None:
    error = errors.SampleError(shard="shard-000001.tar", key="pair-7", reason="torn")
    back = pickle.loads(pickle.dumps(error))  # noqa: S301  (bytes of this line)
    assert (back.shard, back.key, back.reason) == ("shard-000001.tar", "pair-7", "torn")
    assert str(back) == str(error) == "shard shard-000001.tar, sample pair-7: torn"
