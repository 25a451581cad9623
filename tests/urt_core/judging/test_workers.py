"""Several processes of one command: who they are, and what happens when one ends badly."""

import os
import sys

import pytest

from urt_core.errors import ConfigError, EngineError
from urt_core.judging.workers import Workers, own_devices

SAYS = "import os, pathlib, sys; pathlib.Path(sys.argv[1], os.environ['RANK']).write_text(os.environ['WORLD_SIZE'])"


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


def test_this_process_is_the_first_of_them(tmp_path):
    with Workers(3, command=[sys.executable, "-c", SAYS, str(tmp_path)]):
        assert (os.environ["RANK"], os.environ["WORLD_SIZE"]) == ("0", "3")
    assert "RANK" not in os.environ
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"1": "3", "2": "3"}


def test_one_that_fails_is_told_by_its_number():
    with Workers(2, command=[sys.executable, "-c", "raise SystemExit(7)"]) as workers:
        workers._children[0].wait()
        with pytest.raises(EngineError, match="process 1 of 2 ended with code 7"):
            workers.check()


def test_those_of_a_launcher_are_taken_as_they_are(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with Workers(3, command=[sys.executable, "-c", "raise SystemExit(7)"]) as workers:
        assert workers.num == 1
        workers.check()
    assert os.environ["RANK"] == "1"


def test_devices_are_shared_out_and_too_few_are_said(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6,7")
    with own_devices(num_devices=2):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "6,7"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,5,6,7"
    with pytest.raises(ConfigError, match="needs GPUs 3 to 5, and CUDA_VISIBLE_DEVICES names 4"):
        with own_devices(num_devices=3):
            pass
