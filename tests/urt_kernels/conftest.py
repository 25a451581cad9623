"""Shared by the tests of urt_kernels."""

from collections.abc import Iterator

import pytest
from jaxtyping import config


@pytest.fixture
def no_type_checks() -> Iterator[None]:
    """Without the run-time shape checks of the test run: they would speak before a function's own, and hinder tracing."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", before)
