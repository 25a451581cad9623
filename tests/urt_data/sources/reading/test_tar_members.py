"""The tar walker: what Python's reader finds, without what hostile headers make of it."""

import io
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from urt_core.errors import DataError
from urt_data.sources.archives import Archives
from urt_data.sources.reading.tar_members import DamagedTarError, walk
from urt_data.sources.rows import FieldError

NAMES = st.text(st.sampled_from("ab/ü.é"), min_size=1, max_size=200).filter(
    lambda name: name.strip("/") and "//" not in name and name[0] != "/" and name[-1] != "/"
)
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
)
FORMATS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


def packed(members: list[tuple[str, bytes, bytes]], form: int, **settings) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, **settings) as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mtime = kind, "elsewhere", 1.5
            if kind in (tarfile.REGTYPE, tarfile.AREGTYPE):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                tar.addfile(info)
    return buffer.getvalue()


@given(st.lists(st.tuples(NAMES, KINDS, st.binary(max_size=1100)), max_size=5), FORMATS)
@settings(max_examples=150, deadline=None)
def test_the_same_members_as_tarfile(members: list, form: int) -> None:
    try:
        content = packed(members, form, encoding="utf-8")
    except ValueError:
        return  # a name that does not fit into USTAR
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        expected = [
            (info.name, info.size if info.isreg() else 0, info.isreg(), info.offset_data)
            for info in tar
            if not info.isdir()
        ]
    found = [(item.name, item.size, not item.refused, item.offset) for item in walk(io.BytesIO(content))]
    assert [(name.rstrip("/"), *rest) for name, *rest in found] == [(name, *rest) for name, *rest in expected]


def with_sum(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)], block[124 : 124 + len(size)], block[156:157] = name, size, kind
    return with_sum(block)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (header(b"a", b"\xff" * 11 + b"\xfe"), "no number as its size"),
        (header(b"a", b"-0000000001\0"), "no number as its size"),
        (header(b"a", b"\x80" + b"\xff" * 11), "the file ends before"),
        (header(b"a", b"00000001000\0"), "the file ends before"),
        (header(b"a", b"00000000000\0", b"L") * 20, "5 extended headers"),
        (header(b"a", b"00000000000\0", b"x") * 3000, "5 extended headers"),
        (header(b"a", b"00100000000\0", b"x"), "allowed are 4 of 65,536"),
        (header(b"a", b"00000001000\0", b"x") + b"9" * 512, "no list of length, key and value"),
        (header(b"a", b"00000001000\0", b"x") + b"9 a" + bytes(509), "no list of length, key and value"),
        (header(b"a", b"00000001000\0", b"x") + b"6 ab\n".ljust(512, b"\0"), "no list of length"),
        (
            header(b"a", b"00000001000\0", b"x") + b"12 size=-5\n\0".ljust(512, b"\0") + header(b"a", b"0"),
            "no list|as a size",
        ),
        (
            header(b"a", b"00000001000\0", b"x") + b"11 size=-5\n".ljust(512, b"\0") + header(b"a", b"0"),
            "b'-5' as a size",
        ),
        (b"x" * 512, "checksum"),
        (header(b"a", b"0")[:300], "it ends at byte 300"),
    ],
)
def test_claims_that_no_writer_makes_are_refused(content: bytes, reason: str) -> None:
    start = time.perf_counter()
    with pytest.raises(DamagedTarError, match=reason):
        list(walk(io.BytesIO(content)))
    assert time.perf_counter() - start < 1


def test_a_long_extended_header_takes_linear_time() -> None:
    digits = b"9" * 65_000
    content = header(b"a", b"%011o\0" % len(digits), b"x") + digits.ljust(-(-len(digits) // 512) * 512, b"\0")
    start = time.perf_counter()
    with pytest.raises(DamagedTarError):
        list(walk(io.BytesIO(content)))
    assert time.perf_counter() - start < 0.2


SEEDS = [
    packed(
        [("a/" * 80 + "x.png", tarfile.REGTYPE, b"12345" * 200), ("b.png", tarfile.REGTYPE, b"")],
        form,
        encoding="utf-8",
    )
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
]
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=12)), max_size=4)


@given(st.sampled_from(SEEDS), CHANGES, st.floats(0, 1), st.booleans())
@example(SEEDS[0], [], 1.0, True)
@settings(max_examples=400, deadline=None)
def test_changed_archives_give_members_or_a_data_error(tmp_path_factory, seed, changes, keep, mend) -> None:
    content = bytearray(seed)
    for place, change in changes:
        at = int(place * len(content))
        content[at : at + len(change)] = change
    if mend:  # so that changes get past the checksum
        for at in range(0, len(content) - 511, 512):
            if content[at + 257 : at + 262] == b"ustar":
                content[at : at + 512] = with_sum(content[at : at + 512])
    folder = tmp_path_factory.mktemp("tar")
    (folder / "x.tar").write_bytes(content[: int(keep * len(content))])
    archives = Archives(folder)
    try:
        names = list(archives._table())
    except DataError:
        return
    for name in names:
        try:
            assert len(archives.read(name, field="image")) <= len(content)
        except FieldError as error:
            assert "never read" in error.reason or "damaged" in error.reason  # noqa: PT017


def test_whatever_a_zip_holds_is_a_member_or_a_data_error(tmp_path: Path) -> None:
    import random
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"abc" * 300)
        archive.writestr("b/c.png", b"")
    seed, draw = (tmp_path / "x.zip").read_bytes(), random.Random(0)
    for _ in range(400):
        content = bytearray(seed)
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        (tmp_path / "x.zip").write_bytes(content)
        archives = Archives(tmp_path)
        try:
            for name in list(archives._table()):
                archives.read(name, field="image")
        except (DataError, FieldError) as error:
            assert str(error)  # noqa: PT017
