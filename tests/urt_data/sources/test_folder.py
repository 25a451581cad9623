"""Media are found where they may be and nowhere else; archives are read without unpacking and without trust."""

import base64
import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from urt_core.errors import ConfigError, DataError
from urt_core.records import MediaKind
from urt_data.sources.folder import InputFolder, natural_order, sniffed
from urt_data.sources.rows import FieldError


def png(colour: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (colour, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "input"
    (inside / "images").mkdir(parents=True)
    (inside / "images" / "a.png").write_bytes(png(1))
    (tmp_path / "secret.png").write_bytes(png(2))
    return inside


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: Any = "w") -> None:
    with tarfile.open(path, mode) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))


def member(name: str, data: bytes, **settings) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for setting, value in settings.items():
        setattr(info, setting, value)
    return info, data


def test_bytes_are_kept_as_they_are(folder: Path) -> None:
    content = InputFolder(folder).image("images/a.png", "path")
    assert content.data == (png(1),)
    assert content.as_media("first").files == ("first.png",)


@pytest.mark.parametrize("name", ["images/./a.png", "./images/a.png", "images//a.png"])
def test_harmless_spellings(folder: Path, name: str) -> None:
    assert InputFolder(folder).image(name, "path").data == (png(1),)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../secret.png", "leaves the input folder"),
        ("images/../../secret.png", "leaves the input folder"),
        ("/etc/passwd", "leaves the input folder"),
        ("C:/secret.png", "leaves the input folder"),
        ("images\\a.png", "leaves the input folder"),
        ("images/a.png\0.jpg", "leaves the input folder"),
        ("https://host/a.png", "is a URL"),
        ("file:///etc/passwd", "is a URL"),
        ("images/b.png", "is not in the input folder"),
        ("", "must be a file name|names no file"),
        (".", "names no file"),
    ],
)
def test_names_that_are_refused(folder: Path, name: str, reason: str) -> None:
    with pytest.raises(FieldError, match=reason):
        InputFolder(folder).image(name, "path")
    with pytest.raises(FieldError, match=reason):
        InputFolder(folder).video(name, "path")


def test_links_out_of_the_folder_are_refused(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "frames").symlink_to(folder.parent)
    (folder / "inner.png").symlink_to(folder / "images" / "a.png")
    source = InputFolder(folder)
    with pytest.raises(FieldError, match="link out of the input folder"):
        source.image("link.png", "path")
    with pytest.raises(FieldError, match="link out of the input folder"):
        source.video("frames", "path")
    assert source.image("inner.png", "path").data == (png(1),)


def test_a_folder_or_a_pipe_is_no_image_and_holds_nothing_up(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    for name in ("images", "pipe.png", "images/a.png/b.png"):
        with pytest.raises(FieldError, match="is not in the input folder"):
            InputFolder(folder).image(name, "path")


def test_media_of_the_wrong_kind_are_refused(folder: Path) -> None:
    (folder / "text.png").write_text("no image")
    (folder / "empty.png").write_bytes(b"")
    source = InputFolder(folder)
    with pytest.raises(FieldError, match="no image of a known format"):
        source.image("text.png", "path")
    with pytest.raises(FieldError, match=r"is empty \(0 bytes\)"):
        source.image("empty.png", "path")
    with pytest.raises(FieldError, match="no video of a known format"):
        source.video("images/a.png", "path")
    for value in (None, 7, {"bytes": None, "path": None}, {}):
        with pytest.raises(FieldError, match="it must be a file name, bytes"):
            source.image(value, "path")


def test_frames_of_a_folder_come_in_natural_order(folder: Path) -> None:
    (folder / "clip").mkdir()
    for number in (10, 9, 1, 2):
        (folder / "clip" / f"f{number}.png").write_bytes(png(number))
    (folder / "clip" / "notes.txt").write_text("not a frame")
    content = InputFolder(folder).video("clip", "video")
    assert content.kind is MediaKind.VIDEO
    assert content.data == tuple(png(number) for number in (1, 2, 9, 10))
    assert content.as_media("media").files == ("media.f00.png", "media.f01.png", "media.f02.png", "media.f03.png")
    assert sorted(["f10", "f9", "g1"], key=natural_order) == ["f9", "f10", "g1"]


def test_a_folder_without_frames_is_an_error(folder: Path) -> None:
    (folder / "clip").mkdir()
    with pytest.raises(FieldError, match="holds no frames"):
        InputFolder(folder).video("clip", "video")
    with pytest.raises(FieldError, match="has 0 frames"):
        InputFolder(folder).video([], "video")


@pytest.mark.parametrize(("file", "mode"), [("chunk.tar", "w"), ("chunk.tar.gz", "w:gz"), ("chunk.tgz", "w:gz")])
def test_frames_inside_a_tar_are_read_in_place(folder: Path, file: str, mode: str) -> None:
    members = [member(f"./clip/f{number}.png", png(number)) for number in (2, 1, 10)]
    (folder / "train").mkdir()
    tar_of(folder / "train" / file, *members, mode=mode)
    before = sorted(folder.rglob("*"))
    source = InputFolder(folder)
    assert source.video("train/clip", "video").data == (png(1), png(2), png(10))
    assert source.video("train/chunk/clip", "video").data == (png(1), png(2), png(10))
    assert source.image("clip/f2.png", "image", under=("nowhere", "train")).data == (png(2),)
    assert sorted(folder.rglob("*")) == before


def test_images_inside_a_zip_are_read_in_place(folder: Path) -> None:
    with zipfile.ZipFile(folder / "train_1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", png(7))
    source = InputFolder(folder)
    assert source.image("train_1/x.png", "image").data == (png(7),)
    assert source.image("x.png", "image").data == (png(7),)


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (member("bad.png", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link, a device or sparse"),
        (member("bad.png", b"", type=tarfile.LNKTYPE, linkname="../secret.png"), "is a link, a device or sparse"),
        (member("bad.png", b"", type=tarfile.CHRTYPE), "is a link, a device or sparse"),
        (member("bad.png", b"", type=tarfile.FIFOTYPE), "is a link, a device or sparse"),
    ],
)
def test_hostile_tar_members_are_named_and_not_read(
    folder: Path, info: tuple[tarfile.TarInfo, bytes], reason: str
) -> None:
    tar_of(folder / "frames.tar", info, member("good.png", png(3)))
    source = InputFolder(folder)
    with pytest.raises(FieldError, match=reason):
        source.image("bad.png", "image")
    assert source.image("good.png", "image").data == (png(3),)


@pytest.mark.parametrize("name", ["../escape.png", "/tmp/escape.png", "a/../../escape.png"])
def test_tar_members_with_escaping_names_cannot_be_asked_for(folder: Path, name: str) -> None:
    tar_of(folder / "frames.tar", member(name, png(3)))
    with pytest.raises(FieldError):
        InputFolder(folder).image(name, "image")
    with pytest.raises(FieldError, match="not in the input folder"):
        InputFolder(folder).image("escape.png", "image")
    assert not list(folder.parent.rglob("escape.png"))


def test_zip_links_and_encrypted_members_are_refused(folder: Path) -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("crc.png", png(4))
    content = bytearray((folder / "images.zip").read_bytes())
    content[content.index(png(4)) + 60] ^= 1
    (folder / "images.zip").write_bytes(content)
    source = InputFolder(folder)
    with pytest.raises(FieldError, match="is a link; it is never read"):
        source.image("link.png", "image")
    with pytest.raises(FieldError, match=r"damaged or cannot be read \(Bad CRC-32"):
        source.image("crc.png", "image")


def test_a_member_in_two_archives_is_ambiguous(folder: Path) -> None:
    tar_of(folder / "one.tar", member("same.png", png(1)))
    tar_of(folder / "two.tar", member("same.png", png(2)))
    source = InputFolder(folder)
    with pytest.raises(FieldError, match="is in two archives"):
        source.image("same.png", "image")
    assert source.image("two/same.png", "image").data == (png(2),)


def test_a_cut_archive_stops_the_conversion_with_its_name(folder: Path) -> None:
    tar_of(folder / "frames.tar", *[member(f"{number}.png", png(number) * 40) for number in range(5)])
    (folder / "frames.tar").write_bytes((folder / "frames.tar").read_bytes()[:5000])
    with pytest.raises(DataError, match=r"frames\.tar is a damaged tar file"):
        InputFolder(folder).image("4.png", "image")


def test_a_gzip_bomb_is_refused(folder: Path) -> None:
    tar_of(folder / "bomb.tar.gz", member("zeros.png", bytes(30 * 2**20)), mode="w:gz")
    with pytest.raises(DataError, match=r"bomb\.tar\.gz expands to more than 100 times its size"):
        InputFolder(folder).image("zeros.png", "image")


def test_media_folder_must_be_a_folder(folder: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        InputFolder(folder, media=folder / "images" / "a.png")


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (b"\xff\xd8\xff\xe0 JFIF", "jpg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"GIF89a", "gif"),
        (b"BM\0\0", "bmp"),
        (b"\0\0\0\x20ftypisom", "mp4"),
        (b"\0\0\0\x14ftypqt  ", "mov"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "webm"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", "mkv"),
        (b"<html>", None),
        (b"\x80\x04\x95 pickle", None),
    ],
)
def test_formats_are_told_by_their_first_bytes(data: bytes, suffix: str | None) -> None:
    assert sniffed(data) == suffix


@pytest.mark.parametrize("packing", ["gz", "xz", "bz2", "zst"])
@pytest.mark.parametrize("parts", [None, ["00", "01", "02"], ["part1", "part2", "part3"], ["aa", "ab", "ac"]])
def test_packed_and_split_archives_are_read_without_unpacking(
    folder: Path, packing: str, parts: list[str] | None
) -> None:
    tar_of(folder / "images.tar", *[member(f"images/{number}.png", png(number)) for number in range(4)])
    content = (folder / "images.tar").read_bytes()
    (folder / "images.tar").unlink()
    if packing == "zst":
        pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        content = pyarrow.compress(content, codec="zstd", asbytes=True)
    else:
        content = {"gz": gzip, "xz": lzma, "bz2": bz2}[packing].compress(content)
    third = len(content) // 3 + 1
    for number, part in enumerate(parts or [""]):
        name = f"images.tar.{packing}" + (f".{part}" if part else "")
        (folder / name).write_bytes(content[number * third : (number + 1) * third] if parts else content)
    source = InputFolder(folder)
    assert [source.image(f"images/{number}.png", "image").data[0] for number in range(4)] == [png(n) for n in range(4)]


def test_a_missing_part_is_named(folder: Path) -> None:
    for part in ("00", "02"):
        (folder / f"images.tar.gz.{part}").write_bytes(b"x")
    with pytest.raises(
        DataError, match=r"the parts images\.tar\.gz\.00, images\.tar\.gz\.02 are not all .*\(1 missing\)"
    ):
        InputFolder(folder).image("images/0.png", "image")
    (folder / "images.tar.gz.00").unlink()
    with pytest.raises(DataError, match="the first missing"):
        InputFolder(folder).image("images/0.png", "image")


def test_a_split_zip_is_joined(folder: Path) -> None:
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.writestr("x.png", png(7))
    content = (folder / "images.zip").read_bytes()
    (folder / "images.zip").unlink()
    (folder / "images.zip.001").write_bytes(content[:50])
    (folder / "images.zip.002").write_bytes(content[50:])
    assert InputFolder(folder).image("images/x.png", "image").data == (png(7),)


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.xz", "x.tar.bz2", "x.tar.zst", "x.zip", "x.tar"])
def test_bytes_that_are_no_archive_are_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"no archive at all" * 100)
    with pytest.raises(
        DataError,
        match=rf"x\.\S+ is a damaged {'zip' if name == 'x.zip' else 'tar' if name == 'x.tar' else name[6:]} file",
    ):
        InputFolder(folder).image("a.png", "image")


@pytest.mark.parametrize("kind", ["uri", "base64", "lines", "object"])
def test_pictures_inside_the_row_are_read(folder: Path, kind: str) -> None:
    text = base64.b64encode(png(5)).decode()
    values = {
        "uri": f"data:image/png;base64,{text}",
        "base64": text,
        "lines": "\n".join(text[at : at + 60] for at in range(0, len(text), 60)),
        "object": {"bytes": text, "path": "unused.png"},
    }
    assert InputFolder(folder).image(values[kind], "image").data == (png(5),)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("data:image/png,raw", "only data:<type>;base64,<bytes> is read"),
        ("data:image/png;base64", "only data:<type>;base64,<bytes> is read"),
        ("data:image/png;base64,!!!", "is no base64"),
        ({"bytes": "photo.png"}, "is no base64"),
        ("data:image/png;base64," + base64.b64encode(b"text").decode(), "is no image of a known format"),
        (["a.png", "b.png"], "holds 2 images; a record has a place for one"),
        ([], "holds 0 images"),
    ],
)
def test_what_is_no_picture_inside_a_row(folder: Path, value: Any, reason: str) -> None:
    with pytest.raises(FieldError, match=reason):
        InputFolder(folder).image(value, "image")


def test_a_list_of_one_and_a_path_from_the_root_are_the_image(folder: Path) -> None:
    (folder / "a.png").write_bytes(png(1))
    assert InputFolder(folder).image(["a.png"], "image").data == (png(1),)
    assert InputFolder(folder).image(str((folder / "a.png").resolve()), "image").data == (png(1),)


@pytest.mark.parametrize("size", [(1000, 4), (4, 1000)])
def test_what_the_decoder_refuses_is_refused_by_its_header(folder: Path, size: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("1", size).save(buffer, "png")
    with pytest.raises(FieldError, match="sides may differ by a factor of 200"):
        InputFolder(folder).image(buffer.getvalue(), "image")


def test_decoding_finds_damaged_videos(folder: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed")
    path = folder / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height = 48, 32
        for _ in range(8):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (48, 32), "red"))))
        container.mux(stream.encode())
    (folder / "cut.mp4").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = InputFolder(folder, decode=True)
    assert source.video("clip.mp4", "first").suffixes == ("mp4",)
    with pytest.raises(FieldError, match=r"first\.mp4: "):
        source.video("cut.mp4", "first")
    assert InputFolder(folder).video("cut.mp4", "first").suffixes == ("mp4",)


def test_files_of_save_to_disk_stand_in_for_parquet(folder: Path) -> None:
    for name in (
        "train/data-00000-of-00001.arrow",
        "train/cache-1f.arrow",
        "train/state.json",
        "dataset_dict.json",
        "a.json",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    found = [name for name, _ in InputFolder(folder).files(("*.parquet", "*.json"))]
    assert found == ["a.json", "train/data-00000-of-00001.arrow"]
