"""What a release hands out: wheels built from this tree, looked into and put together without a network."""

import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import urt_core

ROOT = Path(__file__).parents[1]
SIBLINGS = {
    "urt-core": set(),
    "urt-data": {"urt-core"},
    "urt-kernels": set(),
    "urt-train": {"urt-core", "urt-data", "urt-kernels"},
}
PACKAGES = list(SIBLINGS)
COMMANDS = {"urt-core": {"urt"}, "urt-data": {"urt-data"}, "urt-kernels": set(), "urt-train": {"urt-train"}}


def build(source: Path, target: str, folder: Path) -> Path:
    """Builds a wheel or sdist of the package in `source`; returns the file."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    return {name: build(ROOT / "packages" / name, "wheel", folder / name) for name in PACKAGES}


def member(wheel: Path, end: str) -> str:
    """The text of the one file of the wheel whose name ends so."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(end)]
        return archive.read(name).decode()


def metadata(wheel: Path) -> Message:
    return Parser().parsestr(member(wheel, ".dist-info/METADATA"))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_holds_the_licence_and_the_notice_of_the_project(wheels: dict[str, Path], name: str) -> None:
    for file in ("LICENSE", "NOTICE"):
        assert member(wheels[name], f".dist-info/licenses/{file}") == (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_says_what_it_is_and_who_made_it(wheels: dict[str, Path], name: str) -> None:
    found = metadata(wheels[name])
    assert found["Name"] == name
    assert found["Version"] == urt_core.__version__
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Requires-Python"] == ">=3.11"
    assert found["Author"]
    assert found["Summary"]
    assert found["Keywords"]
    classifiers = found.get_all("Classifier") or []
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} < set(classifiers)
    readme = (ROOT / "packages" / name / "README.md").read_text(encoding="utf-8")
    assert found.get_payload() == readme


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_needs_its_siblings_in_its_own_version(wheels: dict[str, Path], name: str) -> None:
    """Another version of a sibling beside it is refused by pip, in place of an import that fails later."""
    required = metadata(wheels[name]).get_all("Requires-Dist") or []
    siblings = [Requirement(line) for line in required if line.startswith("urt-")]
    assert {sibling.name for sibling in siblings} == SIBLINGS[name]
    assert {str(sibling.specifier) for sibling in siblings} <= {f"=={urt_core.__version__}"}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_holds_every_file_of_the_package_and_no_other(wheels: dict[str, Path], name: str) -> None:
    source = ROOT / "packages" / name / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheels[name]) as archive:
        held = {entry for entry in archive.namelist() if ".dist-info/" not in entry}
    assert held == expected
    assert f"{name.replace('-', '_')}/py.typed" in held


@pytest.mark.parametrize("name", [name for name in PACKAGES if COMMANDS[name]])
def test_a_wheel_installs_its_command(wheels: dict[str, Path], name: str) -> None:
    scripts = member(wheels[name], "entry_points.txt").partition("[console_scripts]")[2].partition("[")[0]
    assert {line.partition(" = ")[0] for line in scripts.split("\n") if line} == COMMANDS[name]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_made_from_the_source_archive_is_the_same(wheels: dict[str, Path], name: str, tmp_path: Path) -> None:
    """The archive stands alone: version and siblings come from it, where the other packages are not beside it."""
    with tarfile.open(build(ROOT / "packages" / name, "sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (unpacked,) = (tmp_path / "source").iterdir()
    again = build(unpacked, "wheel", tmp_path / "wheel")
    assert metadata(again).as_string() == metadata(wheels[name]).as_string()
    with zipfile.ZipFile(again) as one, zipfile.ZipFile(wheels[name]) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())
