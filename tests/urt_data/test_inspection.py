"""A page with a few records, drawn by a seed."""

import re
from dataclasses import replace

from tests.urt_data.conftest import as_media, image_record, write
from urt_data.inspection import inspect


def keys_on(page) -> list[str]:
    return re.findall(r"(pair-\d+) ·", page.read_text())


def test_as_many_as_were_asked_for_the_same_for_a_seed_and_in_the_order_of_the_folder(tmp_path, folder_of):
    folder = folder_of(30)
    page = inspect(folder, tmp_path / "deep" / "page.html", num_records=6)
    shown = keys_on(page)
    assert len(set(shown)) == 6
    assert shown == sorted(shown, key=lambda key: int(key.removeprefix("pair-")))
    assert keys_on(inspect(folder, tmp_path / "again.html", num_records=6)) == shown
    assert keys_on(inspect(folder, tmp_path / "other.html", num_records=6, seed=1)) != shown
    assert len(keys_on(inspect(folder, tmp_path / "all.html", num_records=100))) == 30


def test_a_record_that_cannot_be_shown_says_why_and_costs_itself(tmp_path):
    bad = image_record(1)
    bad = replace(bad, first=replace(as_media(bad.first), data=(b"?",)))
    page = inspect(write(tmp_path / "pairs", [image_record(0), bad, image_record(2)]), tmp_path / "page.html")
    text = page.read_text()
    assert keys_on(page) == ["pair-0", "pair-2"]
    assert "record 1" in text
    assert "not a readable image" in text
    assert text.count("data:image/png;base64,") == 4
