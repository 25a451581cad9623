"""What every test of the repository runs under. Records, models and shards are made by the fixtures beside the tests
that use them."""

import os

import pytest
from hypothesis import settings

# How long an example takes is the machine's business, not the example's. The same examples every time: what breaks a
# test is the change that was made; `make attack` is where new inputs are looked for.
settings.register_profile("urt", deadline=None, derandomize=True)
settings.load_profile("urt")

# Set before anything imports a Hugging Face library: no test may reach a model hub, and a tokenizer that forks
# after it used threads would warn, which is an error here.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow_first(items)
    skip_without_gpu(items)


def slow_first(items: list[pytest.Item]) -> None:
    """Files with slow tests first, else as they are: of two processes neither is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def skip_without_gpu(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` where torch sees no CUDA device."""
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_tests:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu_tests:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
