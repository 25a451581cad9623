"""Shared by the tests of urt_kernels."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import pytest
import torch
import torch.distributed as dist
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


@pytest.fixture(scope="module")
def group_of_one(tmp_path_factory) -> Iterator[None]:
    """One for all tests: a compiled graph and an export remember the group of the first mesh of its shape."""
    place = tmp_path_factory.mktemp("group") / "ranks"
    dist.init_process_group("gloo", init_method=place.as_uri(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


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


OPS = {
    "advantages": ["group_advantages_op"],
    "distillation": ["linear_distillation_loss_op", "linear_top_k_distillation_loss_op"],
    "linear_logprobs": ["linear_token_logprobs_op"],
    "logprobs": ["token_logprobs_op"],
    "one_pass.into": ["linear_loss_into_op"],
    "one_pass.loss": ["linear_loss_op"],
    "policy_loss": ["grpo_loss_op"],
}


@pytest.fixture
def launches(monkeypatch) -> Iterator[list[str]]:
    """The bodies of the ops as a GPU runs them, on meta tensors; kernels leave their name in place of being launched."""
    if not triton_available() or interpreting():
        pytest.skip("needs Triton, and kernels that are not defined for the interpreter")
    from triton.runtime.jit import JITFunction

    found: list[str] = []

    def launch(kernel: Any, grid: Any) -> Callable[..., None]:
        return lambda *_, **__: found.append(kernel.fn.__name__)

    monkeypatch.setattr(JITFunction, "__getitem__", launch)
    # A device other than the CPU that Triton is said to take.
    monkeypatch.setattr("urt_kernels.dispatch._obstacle", lambda _: None)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(import_module("urt_kernels.policy_loss.triton"), "_counters", {})
    for place, names in OPS.items():
        module = import_module(f"urt_kernels.{place}")
        for name in names:
            monkeypatch.setattr(module, name, torch.no_grad()(getattr(module, name)._init_fn))
    with torch.device("meta"):
        yield found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a GPU, the tests of the kernels are GPU tests (``-m gpu``); elsewhere the interpreter runs them."""
    if torch.cuda.is_available():
        for item in items:
            if item.path.name.startswith("test_triton_"):
                item.add_marker(pytest.mark.gpu)
