"""Archives of somebody's data set: members by the place that unpacking would give them, or why they are not read."""

import io
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest

from urt_core.errors import DataError
from urt_data.sources.archives import Archives
from urt_data.sources.rows import FieldError

NAMES = [
    "",
    ".",
    "./",
    "..",
    "/",
    "//",
    "../x.png",
    "a/../../x.png",
    "/etc/passwd",
    "C:\\x.png",
    "\\\\host\\x",
    "a\\b.png",
    "a\nb.png",
    "é.png",
    "x" * 300,
]


def zipped(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(buffer, "w") as packed:
            for name in names:
                info = zipfile.ZipInfo("placeholder")
                info.filename = name
                packed.writestr(info, b"content")
    return buffer.getvalue()


def tarred(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 7
            packed.addfile(info, io.BytesIO(b"content"))
    return buffer.getvalue()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_of_any_name_is_read_in_its_place_or_refused(tmp_path: Path, kind: str, name: str) -> None:
    """The others are read all the same."""
    names = ["good.png", name]
    (tmp_path / f"a.{kind}").write_bytes(zipped(names) if kind == "zip" else tarred(names))
    found = Archives(tmp_path)
    assert found.read("good.png", field="image") == found.read("a/good.png", field="image") == b"content"
    for path in [path for path in found._table() if not path.endswith("good.png")]:
        try:
            assert found.read(path, field="image") == b"content"
            assert not path.startswith("/")
            assert ".." not in path.split("/")
        except FieldError as error:
            assert "never read" in str(error) or "damaged" in str(error)  # noqa: PT017


def test_a_zip_cut_off_or_changed_anywhere_is_a_data_error_or_its_members(tmp_path: Path) -> None:
    whole, ends = zipped(["a.png", "b/c.png"]), set()
    for number in range(2 * len(whole)):
        changed = (
            whole[:number]
            if number < len(whole)
            else bytes(whole[: number - len(whole)] + b"\xff" + whole[number - len(whole) + 1 :])
        )
        (tmp_path / "a.zip").write_bytes(changed)
        try:
            found = Archives(tmp_path)
            for path in found._table():
                found.read(path, field="image")
            ends.add("read")
        except DataError:
            ends.add("refused")
    assert ends == {"read", "refused"}
