"""The audit finds what it says it looks for, and the tested set has nothing of it."""

import json
import re
import shutil
from pathlib import Path

import audit
import pytest


def test_the_tested_set_has_no_problem() -> None:
    """One line of pins, hashes and floors after another; the advisories need a network and are asked elsewhere."""
    assert audit.problems() == []


def test_there_is_a_hash_for_every_pin() -> None:
    pinned, hashed = audit.pins(), audit.hashes()
    assert len(pinned) > 200
    assert hashed.keys() >= pinned.keys()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Pins, hashes and declared requirements, to be made worse."""
    for name in (
        "constraints.txt",
        "hashes.txt",
        *(str(path.relative_to(audit.ROOT)) for path in audit.ROOT.glob("packages/*/pyproject.toml")),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(audit.ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "pattern", "by", "reason"),
    [
        ("constraints.txt", r"^pillow==.*$", "pillow==12.1.0", "pillow==12.1.0 is below 12.2"),
        ("constraints.txt", r"^starlette==.*$", "starlette>=1", "no one version"),
        ("constraints.txt", r"^aiohttp==.*$", "aiohttp==99.0", "constraints.txt has 99.0"),
        ("constraints.txt", r"^attrs==", "never-locked==1.0\nattrs==", "never-locked==1.0 has no hash"),
        ("hashes.txt", r"^numpy==.*\n", "", "has no hash"),
        ("packages/urt-core/pyproject.toml", r'"pillow>=[\d.]+"', '"pillow>=11"', "urt-core takes pillow from 11 on"),
        (
            "packages/urt-core/pyproject.toml",
            r'"starlette>=[\d.]+", ',
            '"starlette", ',
            "urt-core takes starlette from 0 on",
        ),
        (
            "packages/urt-train/pyproject.toml",
            r'"lightning>=[\d.]+"',
            '"lightning>=2.6.4"',
            "2.6.2 and 2.6.3 are poisoned",
        ),
        ("packages/urt-train/pyproject.toml", r'"hydra-core>=[\d.]+"', '"hydra-core>=1.3.4"', "targets in logging"),
    ],
)
def test_each_kind_of_problem_is_named(copy: Path, file: str, pattern: str, by: str, reason: str) -> None:
    text = (copy / file).read_text()
    changed = re.sub(pattern, by, text, flags=re.MULTILINE)
    assert changed != text
    (copy / file).write_text(changed)
    found = audit.problems(copy)
    assert [one for one in found if reason in one], found


def test_a_report_of_pip_becomes_a_list_that_pip_installs_from(tmp_path: Path) -> None:
    entry = {
        "metadata": {"name": "Some_Thing", "version": "1.2"},
        "download_info": {"archive_info": {"hashes": {"sha256": "a" * 64}}},
    }
    ours = {"metadata": {"name": "urt-core", "version": "0.1"}, "download_info": {"dir_info": {"editable": True}}}
    (tmp_path / "report.json").write_text(json.dumps({"install": [entry, ours]}))
    (tmp_path / "hashes.txt").write_text(audit.lock(tmp_path / "report.json"))
    assert audit.hashes(tmp_path / "hashes.txt") == {"some-thing": ("1.2", "a" * 64)}


def test_the_list_of_components_names_every_pin() -> None:
    bill = json.loads(audit.sbom())
    assert (bill["bomFormat"], len(bill["components"])) == ("CycloneDX", len(audit.pins()))
    assert all(one["hashes"][0]["alg"] == "SHA-256" for one in bill["components"])
