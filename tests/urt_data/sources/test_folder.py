"""Media are found where they may be and nowhere else; archives are read without unpacking and without trust."""

import io
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
