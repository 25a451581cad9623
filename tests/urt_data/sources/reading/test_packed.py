"""Archives on disk: found with their parts, unpacked to the same bytes, and refused where they are not all there."""

import bz2
import gzip
import lzma
from pathlib import Path

import pyarrow as pa
import pytest

from urt_core.errors import DataError
from urt_data.sources.reading.packed import MAX_EXPANSION, decoding, find_packed

CONTENT = bytes(range(256)) * 40


def zst(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.tar", bytes),
        ("a.tar.gz", gzip.compress),
        ("a.tgz", gzip.compress),
        ("a.tar.bz2", bz2.compress),
        ("a.tbz2", bz2.compress),
        ("a.tar.xz", lzma.compress),
        ("a.TXZ", lzma.compress),
        ("a.tar.zst", zst),
        ("a.zip", bytes),
    ],
)
def test_an_archive_opens_without_its_compression(tmp_path: Path, name: str, pack) -> None:
    (tmp_path / name).write_bytes(pack(CONTENT))
    [packed] = find_packed(tmp_path)
    assert (packed.name, packed.is_zip) == (name, name == "a.zip")
    with packed.open() as file:
        assert file.read() == CONTENT
        file.seek(300)
        assert file.read(1) == CONTENT[300:301]


@pytest.mark.parametrize(
    "endings",
    [(".00", ".01", ".02"), (".1", ".2", ".10", ".3", ".4", ".5", ".6", ".7", ".8", ".9"), (".part-1", ".part-2"), (".aa", ".ab", ".ac")],
)  # fmt: skip
def test_parts_are_joined_by_their_number_or_letters(tmp_path: Path, endings: tuple[str, ...]) -> None:
    data = gzip.compress(CONTENT)
    in_order = sorted(endings, key=lambda mark: (len(mark), mark))
    size = len(data) // len(endings) + 1
    for number, ending in enumerate(in_order):
        (tmp_path / f"images.tar.gz{ending}").write_bytes(data[number * size : (number + 1) * size])
    [packed] = find_packed(tmp_path)
    assert packed.name == f"images.tar.gz ({len(endings)} parts)"
    with packed.open() as file:
        assert file.read() == CONTENT


@pytest.mark.parametrize("endings", [(".00", ".02"), (".03", ".04"), (".aa", ".ac")])
def test_a_part_that_is_not_there_is_said_before_anything_is_read(tmp_path: Path, endings: tuple[str, str]) -> None:
    for ending in endings:
        (tmp_path / f"a.tar{ending}").write_bytes(b"x")
    with pytest.raises(DataError, match=rf"the parts a.tar{endings[0]}, a.tar{endings[1]} are not all of one archive"):
        find_packed(tmp_path)


def test_hidden_files_links_and_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".shard-000000.tar").write_bytes(b"x")
    (tmp_path / "notes.tar.txt").write_bytes(b"x")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.tar").write_bytes(b"x")
    (tmp_path / "link.tar").symlink_to(tmp_path / "deep" / "b.tar")
    assert [packed.paths for packed in find_packed(tmp_path)] == [(tmp_path / "deep" / "b.tar",)]


def test_what_expands_too_far_or_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(bytes(10_000_000)))
    (tmp_path / "cut.tar.xz").write_bytes(lzma.compress(CONTENT)[:50])
    bomb, cut = find_packed(tmp_path)
    with pytest.raises(DataError, match=rf"bomb.tar.gz expands to more than {MAX_EXPANSION} times its size"):
        bomb.open()
    with pytest.raises(DataError, match=r"cut.tar.xz is a damaged xz file \(EOFError"):
        cut.open()


def test_running_out_of_memory_is_no_damage() -> None:
    with pytest.raises(MemoryError), decoding("a.zip", "zip file"):
        raise MemoryError
