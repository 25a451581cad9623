"""What a docstring shows behind `>>>` is what it gives. One that names things of a caller's own only shows a call."""

import doctest
import pkgutil
from importlib import import_module

import pytest


class Runner(doctest.DocTestRunner):
    """Notes wrong outputs; an example with a name that only a caller has can't be run, and is left."""

    def __init__(self) -> None:
        super().__init__(verbose=False)
        self.wrong: list[str] = []
        self.num_right = 0

    def report_success(self, out, test, example, got) -> None:
        self.num_right += bool(example.want)

    def report_failure(self, out, test, example, got) -> None:
        if example.want:
            self.wrong.append(f"{test.name}: {example.source.strip()} gives {got.strip()}")

    def report_unexpected_exception(self, out, test, example, exc_info) -> None:
        if not issubclass(exc_info[0], NameError):
            self.wrong.append(f"{test.name}: {example.source.strip()} raises {exc_info[1]!r}")


@pytest.mark.slow
@pytest.mark.parametrize(("package", "at_least"), [("urt_core", 4), ("urt_data", 3), ("urt_train", 4)])
def test_examples_give_what_they_show(package: str, at_least: int) -> None:
    """(The examples of urt_kernels name tensors of a caller.)"""
    runner, finder = Runner(), doctest.DocTestFinder(exclude_empty=True)
    for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        if found.name.endswith("__main__"):
            continue
        try:
            module = import_module(found.name)
        except ImportError:  # adapters of trainers that are not installed here
            continue
        for test in finder.find(module, found.name, module=module):
            runner.run(test, out=lambda text: None)
    assert not runner.wrong
    assert runner.num_right >= at_least
