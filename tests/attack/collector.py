"""A pytest plugin that counts: how many cases each test tried, and which tests failed.

    python -m pytest -p tests.attack.collector --counts counts.json tests/...

A case is a test's set of parameters, an example of hypothesis, or what the test says itself (`record_property("cases",
10_000)`).
"""

import json
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--counts", type=Path, default=None)


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--counts"):
        config.pluginmanager.register(Counter(path))


class Counter:
    """Writes {node id: [cases, outcome]} when the session ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, tuple[int, str]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        told = getattr(getattr(item, "obj", None), "_hypothesis_internal_use_settings", None)
        item.user_properties.append(("cases", told.max_examples if told is not None else 1))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            cases = [value for name, value in report.user_properties if name == "cases"]
            number = max((int(str(value)) for value in cases), default=1)
            self.found[report.nodeid] = (number, report.outcome)

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(json.dumps(self.found))
