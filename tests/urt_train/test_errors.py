"""Errors of training: which kind each is, and how a program ends with it."""

import pickle
import signal

import pytest

from urt_core.errors import UrtError
from urt_train.errors import (
    LostRankError,
    MissingStageError,
    NonFiniteError,
    ParityError,
    Stopped,
    StoppedError,
    TrainError,
)


@pytest.mark.parametrize("kind", [LostRankError, MissingStageError, NonFiniteError, ParityError])
def test_what_ends_training_is_an_error_of_training(kind):
    assert issubclass(kind, TrainError)
    assert issubclass(kind, UrtError)


def test_a_number_that_is_none_is_an_arithmetic_error():
    with pytest.raises(ArithmeticError, match="loss is nan"):
        raise NonFiniteError("loss is nan")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_the_exit_code_that_shells_expect(number):
    assert StoppedError("saved", signal_number=number).exit_code == 128 + number
    stopped = Stopped(number)
    assert (stopped.code, stopped.signal_number) == (128 + number, number)
    assert isinstance(stopped, SystemExit), "which event loops and walls let through"


def test_errors_travel_between_processes():
    assert str(pickle.loads(pickle.dumps(ParityError("1.3 above 1.02")))) == "1.3 above 1.02"  # noqa: S301  our own
