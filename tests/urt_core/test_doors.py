import sys
from importlib.metadata import EntryPoint
from pathlib import Path

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


def test_a_name_that_two_packages_declare_is_no_choice_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"same": ("math:pi", "math:pi"), "two": ("math:pi", "math:e"), "bad": ("nowhere_at_all:x",)}
    declared = tuple(
        EntryPoint(name=name, value=value, group="urt.things") for name, several in values.items() for value in several
    )
    monkeypatch.setattr(doors, "installed", lambda group: declared)
    assert load("same") == pytest.approx(3.14159, abs=1e-5)
    with pytest.raises(
        ConfigError, match="thing 'two' is declared by several installed packages, as math:e, math:pi; "
    ):
        load("two")
    with pytest.raises(ConfigError, match="allowed: own, same, two, bad, or an import path"):
        load("other")


@pytest.mark.parametrize(
    "path", ["math", "math:", ":pi", "math:pi:e", "math:pi()", "a b:c", "./x:y", "math:1", "math.:pi"]
)
def test_what_is_no_path_is_never_imported(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "import_module", lambda name: pytest.fail(f"imported {name}"))
    with pytest.raises(ConfigError, match="an import path package"):
        load(path)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("raise ValueError('no card\\n  in slot 1')", "ValueError: no card in slot 1"),
        ("def __getattr__(name): raise ValueError('no ' + name)", "ValueError: no thing"),
        ("def thing(:", r"SyntaxError: invalid syntax"),
    ],
)
def test_whatever_an_import_raises_is_told_on_one_line(
    code: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that leaves would end the program without a word, and with success."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_things", raising=False)
    (tmp_path / "own_things.py").write_text(code, encoding="utf-8")
    with pytest.raises(
        ConfigError, match=rf"thing 'own_things:thing' does not import \({found}.*expected: a thing"
    ) as caught:
        load("own_things:thing")
    assert "\n" not in str(caught.value)


def test_a_stop_of_the_program_is_no_fault_of_what_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(SystemExit): ...

    def stop(name: str) -> None:
        raise Stop(130)

    monkeypatch.setattr(doors, "import_module", stop)
    with pytest.raises(Stop):
        load("own_things:thing")
