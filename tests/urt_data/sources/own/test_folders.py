"""Pairs in folders without a table: three layouts of the same pairs."""

from pathlib import Path
from typing import Any

import pytest

from tests.urt_data.conftest import png
from urt_core.records import Media, Preference, PreferenceRecord
from urt_data import sources
from urt_data.sources.rows import RowError

LAYOUTS = {
    "a folder a pair": "{key}/{part}.{suffix}",
    "a name a pair": "{key}.{part}.{suffix}",
    "a folder a part": "{part}/{key}.{suffix}",
    "a folder a part, deeper": "{part}/set/{key}.{suffix}",
}


def put(folder: Path, layout: str, key: str, **parts: Any) -> None:
    for part, content in parts.items():
        suffix = "txt" if isinstance(content, str) else "png"
        path = folder / LAYOUTS[layout].format(key=key, part=part, suffix=suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_better_and_worse_need_no_settings(layout: str, tmp_path: Path) -> None:
    for number in range(6):
        put(tmp_path, layout, f"No {number}", better=png(number), worse=png(number, 2), caption=f"scene {number}\n")
    records = list(sources.get("folders").records(tmp_path))
    for number, record in enumerate(records):
        assert isinstance(record, PreferenceRecord)
        winner = record.first if record.preference is Preference.FIRST else record.second
        assert isinstance(winner, Media)
        assert (record.text, winner.data) == (f"scene {number}", (png(number),))
    assert {record.preference for record in records if isinstance(record, PreferenceRecord)} == {
        Preference.FIRST,
        Preference.SECOND,
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_in_files_are_read_like_a_column(layout: str, tmp_path: Path) -> None:
    for number, label in enumerate(["left", "right", "tie"]):
        put(tmp_path, layout, str(number), first=png(number), second=png(number, 2), text="x", label=label)
    records = list(sources.get("folders", columns={"preference": "label"}).records(tmp_path))
    assert [record.preference for record in records if isinstance(record, PreferenceRecord)] == [*Preference]


def test_one_caption_may_hold_for_all(tmp_path: Path) -> None:
    (tmp_path / "caption.txt").write_text("a red car")
    for number in range(2):
        put(tmp_path, "a folder a pair", str(number), chosen=png(number), rejected=png(number, 2))
    assert [
        record.text for record in sources.get("folders").records(tmp_path) if isinstance(record, PreferenceRecord)
    ] == ["a red car"] * 2


def test_what_is_wrong_is_named_by_its_pair(tmp_path: Path) -> None:
    put(tmp_path, "a folder a pair", "0", better=png(0), worse=png(1))
    put(tmp_path, "a folder a pair", "1", better=png(0), caption="no worse one")
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "caption.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "2" / "better.png").symlink_to("/etc/passwd")
    errors = list(sources.get("folders").records(tmp_path))
    assert [(error.file, error.field) for error in errors if isinstance(error, RowError)] == [
        ("0", "prompt"),
        ("1", "worse"),
        ("2", "caption"),
    ]
