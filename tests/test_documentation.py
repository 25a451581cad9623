"""The documentation site builds without a warning: every link and cross-reference in it leads somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_pages_of_the_repository_and_of_the_library_are_there(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    assert "library/urt_core/records/" in home, "the README's link to a source file leads to the page of its module"
    records = (site / "library" / "urt_core" / "records" / "index.html").read_text(encoding="utf-8")
    assert 'id="urt_core.records.PreferenceRecord"' in records


@pytest.mark.slow
def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:script|link|img)\b[^>]*?(?:src|href)=[\"']?(https?:)?//", re.IGNORECASE)
    offences = [
        str(page.relative_to(site)) for page in site.rglob("*.html") if loads.search(page.read_text(encoding="utf-8"))
    ]
    assert not offences


@pytest.mark.slow
def test_a_doctest_is_shown_as_code(site: Path) -> None:
    page = (site / "library" / "urt_train" / "rollouts" / "index.html").read_text(encoding="utf-8")
    assert "&gt;&gt;&gt;" in page
    assert "<blockquote>" not in page
