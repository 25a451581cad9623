from importlib.metadata import EntryPoint

import pytest

from urt_core import doors
from urt_core.errors import ConfigError


def load(path: str) -> object:
    return doors.load_door(path, kind="thing", group="urt.things", built_in={"own": 1}, expected="a thing")


def test_a_built_in_name_an_import_path_and_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = (EntryPoint(name="plugged", value="math:pi", group="urt.things"),)
    monkeypatch.setattr(doors, "installed", lambda group: declared if group == "urt.things" else ())
    assert load("own") == 1
    assert load("collections.abc:Mapping.get").__name__ == "get"  # type: ignore[attr-defined]
    assert load("plugged") == pytest.approx(3.14159, abs=1e-5)
    with pytest.raises(ConfigError, match="thing is 'pluged'; allowed: own, plugged, or an import path"):
        load("pluged")


@pytest.mark.parametrize(
    "path", ["math", "math:", ":pi", "math:pi:e", "math:pi()", "a b:c", "./x:y", "math:1", "math.:pi"]
)
def test_what_is_no_path_is_never_imported(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "import_module", lambda name: pytest.fail(f"imported {name}"))
    with pytest.raises(ConfigError, match="an import path package"):
        load(path)
