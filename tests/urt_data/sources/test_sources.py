"""Sources by name, by import path and by entry point."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from urt_core import doors
from urt_core.errors import ConfigError
from urt_data import sources
from urt_data.sources import GROUP, SOURCES, Source, get

PLUGIN = """
from dataclasses import replace
from urt_data import sources

MINE = sources.get("hpdv3")
def chosen(*, pairing="all"): return sources.get("image_reward_db", pairing=pairing)
def nothing(): return 3
def raising(): raise KeyError("no\\n card")
def leaving(): raise SystemExit(0)
number = 3
no_pairs = replace(MINE, pairs=None)
one_pattern = replace(MINE, files="*.json")
"""


@pytest.fixture(autouse=True)
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_source.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("name", sorted(SOURCES.keys() - {"generic", "folders", "webdataset"}))
def test_a_published_set_needs_no_options(name: str) -> None:
    source = get(name)
    assert isinstance(source, Source)
    assert source.name == name
    assert source.licence


def test_a_source_of_ones_own_is_an_object_or_a_function_of_its_options() -> None:
    assert get("own_source:MINE").name == "hpdv3"
    assert get("own_source:chosen", pairing="extremes").pairing == "extremes"
    assert get("own_source:chosen").pairing == "all"


def test_an_installed_one_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = (EntryPoint(name="mine", value="own_source:MINE", group=GROUP),)
    monkeypatch.setattr(doors, "installed", lambda group: declared if group == GROUP else ())
    assert get("mine").name == "hpdv3"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hpdv4", "source is 'hpdv4'; allowed: .*hpdv3"),
        ("own_source:nothing", r"source 'own_source:nothing' is a int; expected: a urt_data.sources.Source"),
        ("own_source:raising", "source 'own_source:raising' raised KeyError: .*; expected: a urt_data.sources.Source"),
        ("own_source:leaving", "source 'own_source:leaving' raised SystemExit: 0; expected"),
        ("own_source:number", r"source 'own_source:number' is a int"),
        (
            "own_source:no_pairs",
            r"source 'own_source:no_pairs' has pairs=None, member=None and .*; expected: a function",
        ),
        ("own_source:one_pattern", r"files='\*.json'; expected: .*a tuple of patterns"),
        ("own_source:gone", "has no 'gone'"),
        ("nowhere:MINE", "does not import"),
    ],
)
def test_what_is_no_source_is_said(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        get(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["own_source:chosen", "generic"])
def test_an_option_that_a_function_does_not_have_is_named(name: str) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'speed'"):
        get(name, speed="fast")


def test_the_package_exports_what_a_source_is_made_of() -> None:
    assert {"Source", "LabelOrigin", "RowError", "Conversion", "get"} <= set(sources.__all__)
