"""The picture of the README is what the tiny judge says."""

from pathlib import Path

import draw_judged_pair
import pytest

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "judged-pair.svg"


@pytest.mark.slow
def test_the_picture_is_what_the_command_draws(tmp_path: Path) -> None:
    draw_judged_pair.main(tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text(encoding="utf-8") == PICTURE.read_text(encoding="utf-8")
