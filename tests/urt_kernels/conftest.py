"""Shared by the tests of urt_kernels."""

from collections.abc import Iterator

import pytest
import torch
from jaxtyping import config

from urt_kernels.dispatch import interpreting, triton_available


@pytest.fixture
def no_type_checks() -> Iterator[None]:
    """Without the run-time shape checks of the test run: they would speak before a function's own, and hinder
    tracing."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", before)


@pytest.fixture(scope="session")
def device() -> str:
    """Where Triton kernels run: a GPU, or the CPU in Triton's interpreter."""
    if not triton_available():
        pytest.skip("Triton is not installed")
    if torch.cuda.is_available():
        return "cuda"
    if interpreting():
        return "cpu"
    pytest.skip("no GPU: test_interpreter.py runs this file in Triton's interpreter")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a GPU, the tests of the kernels are GPU tests (``-m gpu``); elsewhere the interpreter runs them."""
    if torch.cuda.is_available():
        for item in items:
            if item.path.name.startswith("test_triton_"):
                item.add_marker(pytest.mark.gpu)
