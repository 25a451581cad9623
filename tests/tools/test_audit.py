"""The audit finds what it says it looks for, and the tested set has nothing of it."""

import json
import re
import shutil
from pathlib import Path

import audit
import pytest


def test_the_tested_set_has_no_problem() -> None:
    """One line of pins and floors after another; the advisories need a network and are asked elsewhere."""
    assert audit.problems() == []


def test_there_is_a_pin_for_every_package() -> None:
    assert len(audit.pins()) > 200


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Pins and declared requirements, to be made worse."""
    for name in (
        "constraints.txt",
        *(f"locks/{name}.txt" for name in ("build", "demo", "docs", "test")),
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
        ("constraints.txt", r"^attrs==.*$", "attrs==25.1.0", "locks/test.txt: attrs=="),
        ("constraints.txt", r"^attrs==.*$", "atrs==25.1.0", "atrs==25.1.0 stands in no lock"),
        ("locks/demo.txt", r"^(pillow==.*)\n(    --hash=.*\n)+", r"\1\n", "pillow==13.0.0 without hashes"),
        ("locks/demo.txt", r"^(pillow==.*\n    --hash=sha256:....).*", r"\1 \\", "pillow==13.0.0 without hashes"),
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


def test_the_list_of_components_names_every_pin() -> None:
    bill = json.loads(audit.sbom())
    assert (bill["bomFormat"], len(bill["components"])) == ("CycloneDX", len(audit.pins()))
