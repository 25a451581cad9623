"""Tars of others as a source: keys with folders, dots, capitals; text members; what is never read."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.urt_data.conftest import png
from urt_core.errors import DataError
from urt_core.records import Media, Preference, PreferenceRecord
from urt_data import sources
from urt_data.errors import LabelError
from urt_data.sources.rows import RowError

OWN = {"columns": {"text": "txt", "preference": "label"}, "preferences": {"0": "first", "1": "second"}}


def tar_of(path: Path, members: dict[str, bytes], mode: Any = "w") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def sample(key: str, number: int, **more: bytes) -> dict[str, bytes]:
    members = {
        "first.png": png(number),
        "Second.PNG": png(number, 2),
        "json": json.dumps({"label": number % 2}).encode(),
    }
    return {f"{key}.{suffix}": content for suffix, content in {**members, "txt": b"scene\n", **more}.items()}


def converted(folder: Path, **options: Any) -> list[PreferenceRecord | RowError]:
    return list(sources.get("webdataset", **{**OWN, **options}).records(folder))


@pytest.mark.parametrize("name", ["000000.tar", "a/b/train-0.tar.gz", "x.tar.xz"])
@pytest.mark.parametrize("key", ["sample_000001", "photos/Cat.day", "./UPPER", "日本"])
def test_any_key_is_read(tmp_path: Path, name: str, key: str) -> None:
    mode = {"gz": "w:gz", "xz": "w:xz"}.get(name[-2:], "w")
    tar_of(tmp_path / name, {**sample(key.replace(".day", ""), 0), **sample(f"{key.replace('.day', '')}2", 1)}, mode)
    first, second = converted(tmp_path)
    assert isinstance(first, PreferenceRecord)
    assert isinstance(second, PreferenceRecord)
    assert [first.preference, second.preference] == [Preference.FIRST, Preference.SECOND]
    assert first.text == "scene"
    assert isinstance(second.second, Media)
    assert second.second.data == (png(1, 2),)


def test_labels_are_asked_about_as_in_a_table(tmp_path: Path) -> None:
    tar_of(tmp_path / "0.tar", {**sample("a", 0), **sample("b", 1)})
    with pytest.raises(LabelError, match=r"reading 1: preferences\.0=first"):
        converted(tmp_path, preferences=None)


def test_frames_are_a_video_in_natural_order(tmp_path: Path) -> None:
    frames = {f"a.{side}.{number}.png": png(side, number) for side in ("first", "second") for number in (0, 1, 2, 10)}
    tar_of(tmp_path / "0.tar", {**frames, "a.json": b'{"txt": "it runs", "label": 1}'})
    (record,) = converted(tmp_path, task="video_generation")
    assert isinstance(record, PreferenceRecord)
    assert isinstance(record.second, Media)
    assert record.second.data == tuple(png("second", number) for number in (0, 1, 2, 10))


def test_what_is_wrong_costs_its_sample(tmp_path: Path) -> None:
    members = {
        **sample("a", 0),
        **sample("b", 1, json=b"[1]"),
        **sample("c", 1, pickle=b"cos\nsystem\n"),
        "a.late.png": png(9),
    }
    tar_of(tmp_path / "0.tar", members)
    good, no_object, other, apart = converted(tmp_path)
    assert isinstance(good, PreferenceRecord)
    assert isinstance(other, PreferenceRecord)
    assert isinstance(no_object, RowError)
    assert isinstance(apart, RowError)
    assert "is no JSON object" in no_object.reason
    assert "'a' are not side by side" in apart.reason


def test_a_picture_that_nothing_names_is_an_error(tmp_path: Path) -> None:
    tar_of(tmp_path / "0.tar", {**sample("a", 0, **{"mask.png": png(7)}), **sample("b", 1)})
    error, good = converted(tmp_path)
    assert isinstance(error, RowError)
    assert error.field == "mask.png"
    assert isinstance(good, PreferenceRecord)
    assert all(isinstance(item, PreferenceRecord) for item in converted(tmp_path, ignore="mask.png,mask"))


def test_a_cut_tar_is_named(tmp_path: Path) -> None:
    tar_of(tmp_path / "0.tar", {**sample("a", 0), **sample("b", 1)})
    (tmp_path / "0.tar").write_bytes((tmp_path / "0.tar").read_bytes()[:3000])
    with pytest.raises(DataError, match=r"0\.tar is a damaged tar file"):
        converted(tmp_path)
