"""The page on extending knows every example, and every example has a test."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.stem not in ("README", "__pycache__"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_on_the_page_and_tested(example: Path) -> None:
    assert f"../examples/{example.name}" in (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    assert (ROOT / "tests" / "examples" / f"test_{example.stem}.py").is_file()
