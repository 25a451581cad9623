"""Tar files that try to escape, to link, to exhaust or to be read in two ways: each is refused by name, and nothing is
written."""

import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.urt_data.conftest import image_record
from urt_data import ShardFolder, ShardWriter
from urt_data.errors import ShardError
from urt_data.indexing import index_folder
from urt_data.shards.sample import to_members
from urt_data.shards.tar import BLOCK, END_OF_ARCHIVE, pack_sample, scan_tar, split_sample
from urt_data.upkeep.verify import verify

GOOD, OTHER = (b"".join(pack_sample(f"pair-{number}", to_members(image_record(number)))) for number in range(2))


class Canary:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def member(
    name: str,
    content: bytes = b"{}",
    *,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    size: int | None = None,
    format: Any = tarfile.USTAR_FORMAT,
    **fields,
) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content) if size is None else size
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(format, "utf-8", "surrogateescape") + content + bytes(-len(content) % BLOCK)


def patched(block: bytes, start: int, value: bytes) -> bytes:
    """A header with some bytes replaced and its checksum made right again."""
    header = bytearray(block[:BLOCK])
    header[start : start + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + block[BLOCK:]


def extended(record: bytes) -> bytes:
    """A member behind an extended header with one record."""
    length = next(
        length for length in range(len(record), len(record) + 9) if len(f"{length} ") + len(record) + 1 == length
    )
    return member("pax", b"%d %s\n" % (length, record), kind=tarfile.XHDTYPE) + member("evil.json")


def compressed(content: bytes) -> bytes:
    import gzip

    return gzip.compress(content)


HOSTILE = {
    "link": (member("evil.json", b"", kind=tarfile.SYMTYPE, link="/etc/passwd"), "tar type b'2'"),
    "hard link": (member("evil.json", b"", kind=tarfile.LNKTYPE, link="pair-0.json"), "tar type b'1'"),
    "link to the parent folder": (member("evil.json", b"", kind=tarfile.SYMTYPE, link="../../x"), "tar type b'2'"),
    "character device": (member("evil.json", b"", kind=tarfile.CHRTYPE, devmajor=1, devminor=5), "tar type b'3'"),
    "block device": (member("evil.json", b"", kind=tarfile.BLKTYPE), "tar type b'4'"),
    "folder": (member("evil.json", b"", kind=tarfile.DIRTYPE), "tar type b'5'"),
    "pipe": (member("evil.json", b"", kind=tarfile.FIFOTYPE), "tar type b'6'"),
    "contiguous file": (member("evil.json", kind=tarfile.CONTTYPE), "tar type b'7'"),
    "sparse file": (member("evil.json", kind=tarfile.GNUTYPE_SPARSE, format=tarfile.GNU_FORMAT), "tar type b'S'"),
    "pax header that renames": (extended(b"path=../evil.json"), "an extended tar header says"),
    "pax header that resizes": (extended(b"size=1"), "an extended tar header says"),
    "pax header that links": (extended(b"linkpath=/etc/passwd"), "an extended tar header says"),
    "pax header of another kind": (extended(b"mtime=1.5") + extended(b"GNU.sparse.map=0,1"), "an extended tar header says"),
    "huge pax header": (extended(b"comment=" + bytes(5000)), "tar type b'x'"),
    "pax global header": (member("evil.json", b"19 path=../evil.json\n", kind=b"g"), "tar type b'g'"),
    "long name": (member("x" * 150 + ".json", format=tarfile.GNU_FORMAT), "tar type b'L'"),
    "long link": (member("evil.json", b"y" * 200, kind=b"K"), "tar type b'K'"),
    "unknown type": (member("evil.json", kind=b"Z"), "tar type b'Z'"),
    "absolute path": (member("/tmp/evil.json"), "member name '/tmp/evil.json'"),
    "path through the parent": (member("../evil.json"), "member name '../evil.json'"),
    "path inside": (member("a/../../evil.json"), "member name 'a/../../evil.json'"),
    "windows path": (member("..\\evil.json"), "evil.json' is not <key>.<suffix>"),
    "folder in the name": (member("folder/pair-1.json"), "member name 'folder/pair-1.json'"),
    "control character": (member("pair\n1.json"), "member name"),
    "upper case": (member("Pair.JSON"), "member name 'Pair.JSON'"),
    "hidden file": (member(".json"), "member name '.json'"),
    "pickle": (member("pair-1.pyd", b"x"), "suffix that is never decoded"),
    "torch file": (member("pair-1.pth", b"x"), "suffix that is never decoded"),
    "pickle behind an image": (member("pair-1.png.pickle", b"x"), "suffix that is never decoded"),
    "claims a terabyte": (patched(member("pair-1.json"), 124, b"\x80" + struct.pack(">11s", (2**40).to_bytes(11, "big"))), "claims 1,099,511,627,776 bytes"),
    "claims a negative size": (patched(member("pair-1.json"), 124, b"\xff" * 12), "claims -1 bytes"),
    "claims more than the file": (member("pair-1.json", b"", size=100_000_000), "the file ends before"),
    "wrong checksum": (b"q" + member("pair-1.json")[1:], "no readable tar header"),
    "not UTF-8": (patched(member("pair-1.json"), 0, b"\xff\xfe"), "no readable tar header"),
    "repeated member": (member("evil.json") + member("evil.json"), "appears twice"),
    "split sample": (OTHER + member("pair-0.gif"), "not side by side"),
    "second archive behind the end": (END_OF_ARCHIVE + GOOD, "bytes follow the end of the archive"),
}  # fmt: skip


def scanned(content: bytes) -> list:
    return list(scan_tar(io.BytesIO(content), file_size=len(content)))


def test_the_good_sample_is_read():
    assert [sample.key for sample in scanned(GOOD + END_OF_ARCHIVE)] == ["pair-0"]


def test_extended_headers_may_tell_times():
    """Python's tarfile writes them for times with fractions, and so does webdataset's writer."""
    content = GOOD + extended(b"mtime=1234.5") + END_OF_ARCHIVE
    _, timed = scanned(content)
    assert (timed.key, timed.members, timed.offset) == ("evil", {"json": b"{}"}, len(GOOD))
    assert split_sample(content[timed.offset : timed.offset + timed.size], key="evil") == timed.members


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tar_is_refused_by_every_reader(name, tmp_path):
    content, message = HOSTILE[name]
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "a.tar").write_bytes(GOOD + content + END_OF_ARCHIVE)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ShardError, match=message):
        scanned(GOOD + content + END_OF_ARCHIVE)
    with pytest.raises(ShardError, match=f"a.tar.*{message}"):
        index_folder(tmp_path / "shards")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "second archive behind the end"])
def test_a_forged_index_does_not_open_the_way(name, tmp_path):
    """Hashes prove where bytes come from, not that they are harmless: members are checked although everything
    matches."""
    content, _ = HOSTILE[name]
    with pytest.raises(ShardError):
        split_sample(content, key="evil")
    folder = forged(tmp_path / "forged", content)
    report = verify(folder)
    assert [finding.shard for finding in report.findings] == ["shard-000000.tar"]
    with pytest.raises(ShardError, match=r"shard-000000.tar, sample pair-0"):
        ShardFolder(folder)[0]


def forged(folder: Path, content: bytes) -> Path:
    """A folder whose index and manifest call `content` the sample pair-0, hashes included."""
    from unittest.mock import patch

    with patch("urt_data.shards.open_shard.pack_sample", lambda key, members: [content]), ShardWriter(folder) as shards:
        shards.write(image_record(0))
    return folder


def test_pickles_are_never_loaded(tmp_path):
    canary = tmp_path / "canary"
    payload = pickle.dumps(Canary(canary))
    for suffix in ("pyd", "pickle", "pkl", "json", "png"):
        folder = forged(tmp_path / suffix, b"".join(pack_sample("pair-0", [(suffix, payload)])))
        verify(folder)
        with pytest.raises(ShardError):
            ShardFolder(folder)[0]
    assert not canary.exists()


def test_compressed_tar_is_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(compressed(GOOD + END_OF_ARCHIVE))
    with pytest.raises(ShardError, match="no readable tar header"):
        index_folder(tmp_path)


@pytest.mark.parametrize("name", ["../evil.tar", "/etc/evil.tar", "a/b.tar", ".hidden.tar", "evil.json", "evil.tar\n"])
def test_a_manifest_names_only_shards_of_its_folder(tmp_path, folder_of, name):
    import json

    from urt_data.shards.index import MANIFEST_NAME, sha256

    folder_of(3)
    path = tmp_path / "pairs" / MANIFEST_NAME
    document = json.loads(path.read_bytes())
    document.pop("sha256")
    document["shards"][0]["name"] = name

    def spelled(value) -> bytes:
        return (json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n").encode()

    path.write_bytes(spelled({**document, "sha256": sha256(spelled(document))}))
    with pytest.raises(ShardError, match=r"a shard is a \.tar file in the manifest's own folder"):
        ShardFolder(tmp_path / "pairs")
