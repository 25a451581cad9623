"""python apps/bench_train.py: a small setting, in which all layouts (and TRL, where it is installed) must agree on the
log-probs."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "apps" / "bench_train.py"
SMALL = ("pixels=32", "group_size=2", "text=12", "completion=6", "repeats=1")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", BENCH, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows(output: str) -> list[dict[str, str]]:
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in output.splitlines() if line[:1] == "|"]
    return [dict(zip(table[0], line, strict=True)) for line in table[2:]]


def test_layouts_agree_and_are_timed_by_phase():
    run = bench(*SMALL, "trl=false")
    assert run.returncode == 0, run.stderr
    padded, shared = rows(run.stdout)
    assert [row["layout"] for row in (padded, shared)] == ["padded", "shared_prefix"]
    for row in (padded, shared):
        assert (row["pixels"], row["G"], row["MFU"]) == ("32", "2", "not measured")
        assert all(float(row[phase]) > 0 for phase in ("data s", "generate s", "log-probs s", "update s"))
        assert float(row["log-probs off by"]) < 1e-5
    assert float(shared["update phase, x shared"]) == 1.0


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="needs trl (make test installs it)")
def test_trl_agrees_too():
    run = bench(*SMALL)
    assert run.returncode == 0, run.stderr
    trl = rows(run.stdout)[-1]
    assert trl["layout"] == "TRL"
    assert float(trl["generate s"]) > 0
    assert float(trl["update s"]) > 0
    assert float(trl["log-probs off by"]) < 1e-5


def test_of_lengths_that_were_drawn_sampling_is_not_timed():
    run = bench(*SMALL, "trl=false", "ragged=true", "prompts=2")
    assert run.returncode == 0, run.stderr
    assert {row["generate s"] for row in rows(run.stdout)} == {"not measured"}


def test_a_wrong_setting_is_named():
    run = bench("pixel=32")
    assert run.returncode == 1
    assert "there is no setting pixel; allowed: device, model, pixels" in run.stderr
