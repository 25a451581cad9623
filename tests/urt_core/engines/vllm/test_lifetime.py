"""vLLM's engine process ends with the one that opened it, killed or not."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.urt_core.process.test_lifetime import is_running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vllm (make test installs it)"),
]

OPEN = """
import multiprocessing, time
from urt_core.engines.vllm import VLLMEngine
from urt_core.example import JUDGE
from urt_core.media import MediaPolicy
engine = VLLMEngine.from_pretrained(JUDGE, policy=MediaPolicy(), dtype="float32", max_model_len=1024,
                                    gpu_memory_utilization=0.05)
print("children", *(child.pid for child in multiprocessing.active_children()), flush=True)
time.sleep(60)
"""


def test_a_killed_process_leaves_no_engine_behind(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        opened = subprocess.Popen([sys.executable, "-c", OPEN], env=os.environ, stdout=subprocess.PIPE, stderr=log)
    assert opened.stdout is not None
    line = next((line for line in opened.stdout if line.startswith(b"children ")), b"")
    children = [int(pid) for pid in line.split()[1:]]
    assert children, (tmp_path / "log").read_text()
    assert all(map(is_running, children))
    opened.kill()
    opened.communicate()
    deadline = time.monotonic() + 30
    while any(map(is_running, children)):
        assert time.monotonic() < deadline, "the engine's process outlives the one that opened it"
        time.sleep(0.05)
