"""python apps/bench_kills.py in small: pairs judged in processes that are killed give the lines of an undisturbed run."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from urt_core.example import PAIRS

ROOT = Path(__file__).parents[2]


def killed(folder: Path, *arguments: str) -> list[str]:
    """The cells of the table's row, on the pairs of the example five times over: a kill finds work that is left."""
    rows = [json.loads(line) for line in PAIRS.read_text().splitlines()]
    pairs = folder / "pairs.jsonl"
    with pairs.open("w") as file:
        for row in (row | {"key": f"{row['key']}-{number}"} for row in rows for number in range(5)):
            for name in ("first", "second", "media"):
                row[name] = beside(row.get(name), is_medium=name == "media" or row["task"].endswith("generation"))
            file.write(f"{json.dumps(row)}\n")
    settings = (f"data={pairs}", f"output={folder / 'kills'}", "processes=2", "batch_size=2", "delay_ms=0", *arguments)
    done = subprocess.run(
        [sys.executable, "apps/bench_kills.py", *settings], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(line for line in reversed(done.stdout.splitlines()) if line.startswith("| "))
    return [cell.strip() for cell in row.strip("|").split("|")]


def beside(files: Any, *, is_medium: bool) -> Any:
    if not is_medium or files is None:
        return files
    return [beside(file, is_medium=True) for file in files] if isinstance(files, list) else str(PAIRS.parent / files)


def test_two_processes_that_are_killed_have_the_lines_of_one(tmp_path):
    row = killed(tmp_path, "engines=transformers", "kills=2")
    assert row == ["transformers", "2", "2", "60, the same bytes", "0", "0"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vllm (make test installs it)")
def test_vllm_leaves_no_process_behind_and_asks_nothing_twice(tmp_path):
    row = killed(tmp_path, "engines=vllm", "kills=1")
    assert row == ["vllm", "2", "1", "60, the same bytes", "0", "0"]


def test_a_setting_that_is_none_is_named():
    done = subprocess.run(
        [sys.executable, "apps/bench_kills.py", "engine=vllm"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "there is no setting engine; allowed: data, model, engines" in done.stderr
