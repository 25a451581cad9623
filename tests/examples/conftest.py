import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """An example as its user has it: in a folder of their own, which is on the path and the working directory."""
    names: list[str] = []

    def copy(name: str) -> ModuleType:
        names.append(name)
        if (EXAMPLES / name).is_dir():
            shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(EXAMPLES / f"{name}.py", tmp_path)
        return import_module(name)

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield copy
    for module in [module for module in sys.modules if module.partition(".")[0] in names]:
        del sys.modules[module]
