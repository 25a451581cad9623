"""python apps/pipeline.py: the pipeline of `urt_train.experiment.pipeline` for a config, in one process."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from urt_train.cli import compose

APPS = Path(__file__).parents[2] / "apps"


@pytest.fixture
def run(monkeypatch):
    """The recipes that are run, without running them."""
    monkeypatch.syspath_prepend(str(APPS))
    recipes: list[str] = []
    monkeypatch.setattr("urt_train.experiment.pipeline.run_pipeline", lambda config: recipes.append(config.recipe))
    return recipes


def test_it_runs_the_recipe_of_its_command_line_or_of_a_config(run, monkeypatch):
    main = import_module("pipeline").main
    main(compose(["recipe=tiny"]))
    monkeypatch.setattr(sys, "argv", ["pipeline.py", "recipe=qwen3_vl_8b"])
    main()
    assert run == ["tiny", "qwen3_vl_8b"]


def test_several_processes_would_write_the_same_files(run, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["pipeline.py", "recipe=tiny"])
    with pytest.raises(SystemExit):
        import_module("pipeline").main()
    assert run == []
    assert "error: " in capsys.readouterr().err
