import inspect

import pytest

from urt_core import errors
from urt_core.errors import EngineError, ServerError, UrtError

TREE = {
    name: member
    for name, member in vars(errors).items()
    if inspect.isclass(member) and issubclass(member, Exception) and member.__module__ == errors.__name__
}


@pytest.mark.parametrize("name", sorted(TREE))
def test_the_docstring_draws_every_error(name: str) -> None:
    assert name in (errors.__doc__ or "")


@pytest.mark.parametrize("name", sorted(TREE.keys() - {"UrtError"}))
def test_every_error_is_also_a_builtin(name: str) -> None:
    error = TREE[name]
    assert issubclass(error, UrtError)
    assert issubclass(error, ValueError | RuntimeError)
    line = next(line for line in (errors.__doc__ or "").splitlines() if f" {name} " in line or line.endswith(name))
    if "(" in line:
        assert ("ValueError" in line) == issubclass(error, ValueError)


def test_a_server_says_whether_another_may_do_better():
    error = ServerError("http://gpu-1 answers 503", is_lost=True)
    assert isinstance(error, EngineError)
    assert (error.is_lost, error.is_final, str(error)) == (True, False, "http://gpu-1 answers 503")
    assert not ServerError("busy").is_lost
