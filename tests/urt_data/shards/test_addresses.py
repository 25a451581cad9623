"""Every command that reads or writes, at an address: in memory, and at a real S3 server on loopback."""

import errno
import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.s3 import s3_on_loopback
from tests.urt_data.conftest import image_record, png, write
from urt_core.errors import ConfigError
from urt_data import Mixture, MixtureItem, PreferenceStream, ShardCache, ShardFolder, ShardWriter
from urt_data.cli import main
from urt_data.convert import convert
from urt_data.errors import ShardError
from urt_data.indexing import index_folder
from urt_data.shards.addresses import connect, is_address, local_copy
from urt_data.sources import get
from urt_data.upkeep.repair import repair
from urt_data.upkeep.verify import verify

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    with s3_on_loopback() as address:
        yield address


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of an empty bucket, named after the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)
    name = f"bucket-{hashlib.sha256(request.node.name.encode()).hexdigest()[:16]}"
    if request.param == "memory":
        return f"memory://{name}"
    settings = {
        "key": "k",
        "secret": "s",
        "client_kwargs": {"endpoint_url": request.getfixturevalue("s3_server"), "region_name": "us-west-2"},
    }
    monkeypatch.setitem(fsspec.config.conf, "s3", settings)
    fsspec.filesystem("s3").mkdir(name)
    return f"s3://{name}"


def names(address: str) -> list[str]:
    filesystem, root = connect(address)
    filesystem.invalidate_cache()
    return sorted(name.removeprefix(root).lstrip("/") for name in filesystem.find(root))


def upload(folder: Path, address: str) -> None:
    filesystem, root = connect(address)
    for path in folder.iterdir():
        filesystem.put_file(str(path), f"{root}/{path.name}")


def records_at(address: str, tmp_path: Path) -> list[Any]:
    return list(ShardFolder(address, cache=ShardCache(folder=str(tmp_path / "cache"), max_bytes=10**8)))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for number in range(4):
        (tmp_path / "in" / f"{number}.png").write_bytes(png(number))
    rows = [{"text": f"t {n}", "first": f"{n}.png", "second": f"{3 - n}.png", "preference": "first"} for n in range(4)]
    (tmp_path / "in" / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "in"


@pytest.mark.parametrize("single", [False, True])
def test_a_conversion_from_address_to_address(bucket: str, table: Path, tmp_path: Path, single: bool) -> None:
    upload(table, f"{bucket}/raw")
    source = f"{bucket}/raw/pairs.jsonl" if single else f"{bucket}/raw"
    command = ["convert", "data=generic", f"input={source}", f"output={bucket}/pairs"]
    assert main(command) == 0
    assert names(f"{bucket}/pairs") == [
        "manifest.json",
        "rejected.jsonl",
        "shard-000000.tar",
        "shard-000000.tar.idx.json",
    ]
    assert [record.text for record in records_at(f"{bucket}/pairs", tmp_path)] == [f"t {number}" for number in range(4)]
    assert main(command) == 2  # it holds a finished data set
    assert main([*command, "overwrite=true"]) == 0
    assert not list(tmp_path.glob("*:*"))  # no folder that is called like an address


def test_every_command_reads_an_address(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    local = write(tmp_path / "pairs", [image_record(number, size=32) for number in range(5)], samples_per_shard=2)
    with ShardWriter(f"{bucket}/pairs", samples_per_shard=2) as shards:
        for record in local:
            shards.write(record)
    assert records_at(f"{bucket}/pairs", tmp_path) == list(local)
    assert verify(f"{bucket}/pairs").is_sound
    for command in (
        ["verify", f"{bucket}/pairs"],
        ["stats", f"{bucket}/pairs"],
        ["inspect", f"{bucket}/pairs", f"{bucket}/sheets/sheet.html"],
        ["repair", f"{bucket}/pairs", f"{bucket}/repaired"],
        ["decontaminate", f"{bucket}/pairs", "--against", f"{bucket}/repaired", "--output", f"{bucket}/clean",
         "--report", f"{bucket}/reports/matches.jsonl"],
        ["export", f"{bucket}/pairs", f"{bucket}/plain"],
        ["export", f"{bucket}/pairs", f"{bucket}/table/all.parquet", "--format", "parquet"],
    ):  # fmt: skip
        assert main(command) == 0, (command, capsys.readouterr().err)
    assert names(f"{bucket}/sheets") == ["sheet.html"]
    assert names(f"{bucket}/plain") == ["000000.tar"]
    assert names(f"{bucket}/reports") == ["matches.jsonl"]
    assert names(f"{bucket}/table") == ["all.parquet"]
    assert len(records_at(f"{bucket}/repaired", tmp_path)) == 5
    assert len(records_at(f"{bucket}/clean", tmp_path)) == 0
    # Plain tars at an address get their index there; the tars stay.
    assert main(["index", f"{bucket}/plain"]) == 0
    assert names(f"{bucket}/plain") == ["000000.tar", "000000.tar.idx.json", "manifest.json"]
    assert len(records_at(f"{bucket}/plain", tmp_path)) == 5
    assert not list(tmp_path.glob("*:*"))


def test_a_shorter_run_leaves_no_shard_of_the_longer_one(bucket: str, tmp_path: Path) -> None:
    for count in (5, 2):
        with ShardWriter(f"{bucket}/pairs", samples_per_shard=2, overwrite=True) as shards:
            for number in range(count):
                shards.write(image_record(number))
    assert [name for name in names(f"{bucket}/pairs") if name.endswith(".tar")] == ["shard-000000.tar"]
    assert len(records_at(f"{bucket}/pairs", tmp_path)) == 2


def test_an_error_uploads_nothing(bucket: str, tmp_path: Path) -> None:
    def broken() -> Iterator[Any]:
        yield image_record(0)
        raise ZeroDivisionError

    with ShardWriter(f"{bucket}/other") as shards:
        shards.write(image_record(0))
    with pytest.raises(ZeroDivisionError):
        convert(broken(), f"{bucket}/pairs", metadata={})
    assert names(f"{bucket}/pairs") == []


def test_a_mixture_of_two_addresses_is_streamed(bucket: str, tmp_path: Path) -> None:
    cache = ShardCache(folder=str(tmp_path / "cache"), max_bytes=10**8)
    for name in ("a", "b"):
        with ShardWriter(f"{bucket}/{name}") as shards:
            for number in range(6):
                shards.write(image_record(number, prefix=name))
    folders = [ShardFolder(f"{bucket}/{name}", cache=cache) for name in ("a", "b")]
    mixture = Mixture([MixtureItem(folder=folders[0]), MixtureItem(folder=folders[1], take="first:3")])
    keys = [record.key for batch in PreferenceStream(mixture, batch_size=4, seed=0) for record in batch]
    assert sorted(keys) == sorted([f"a-{number}" for number in range(6)] + [f"b-{number}" for number in range(3)])


def test_what_is_not_there_is_named(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for command in (["verify", f"{bucket}/none"], ["convert", "data=generic", f"input={bucket}/none", "output=out"]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert f"{bucket}/none" in error
        assert error.count("\n") == 1
    with pytest.raises(ShardError, match="does not exist: the folder holds no finished data set"):
        records_at(f"{bucket}/none", tmp_path)


@pytest.mark.parametrize("stalled", [False, True])
def test_a_server_that_is_gone_or_silent_is_one_line_before_the_work(
    s3_server: str,
    stalled: bool,
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        port = silent.getsockname()[1] if stalled else 9
        settings = {
            "key": "k",
            "secret": "s",
            "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-west-2"},
            "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1, "read_timeout": 1},
        }
        monkeypatch.setitem(fsspec.config.conf, "s3", settings)
        monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
        assert main(["convert", "data=generic", f"input={table}", "output=s3://bucket/pairs"]) == 2
    error = capsys.readouterr().err
    assert "s3://bucket/pairs cannot be reached (" in error
    assert "check address, credentials and network" in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*:*"))


def test_without_credentials_there_is_one_line(
    s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    settings = {"client_kwargs": {"endpoint_url": s3_server, "region_name": "us-west-2"}}
    monkeypatch.setitem(fsspec.config.conf, "s3", settings)
    assert main(["stats", "s3://private/pairs"]) == 2
    error = capsys.readouterr().err
    assert "s3://private/pairs" in error
    assert "credentials" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("fails", ["download", "upload"])
def test_a_remote_that_fails_half_way_is_named(
    bucket: str, fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ShardWriter(f"{bucket}/pairs") as shards:
        shards.write(image_record(0))

    def broken(*arguments: Any, **settings: Any) -> None:
        raise TimeoutError("the line is dead")

    filesystem, _ = connect(bucket)
    monkeypatch.setattr(filesystem, "open" if fails == "download" else "put_file", broken)
    calls = {
        "download": lambda: records_at(f"{bucket}/pairs", tmp_path),
        "upload": lambda: convert([image_record(1)], f"{bucket}/pairs", metadata={}, overwrite=True),
    }
    with pytest.raises(ShardError, match=r"/pairs\S* cannot be reached \(TimeoutError: the line is dead\)"):
        calls[fails]()
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_a_full_disk_is_told_from_a_dead_line(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ShardWriter(f"{bucket}/pairs") as shards:
        shards.write(image_record(0))

    def full(*arguments: Any, **settings: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    filesystem, _ = connect(bucket)
    monkeypatch.setattr(filesystem, "open", full)
    with pytest.raises(ShardError, match=r"the disk of this machine does not take it .*make room in the cache folder"):
        records_at(f"{bucket}/pairs", tmp_path)


def test_addresses_are_no_folder_names(tmp_path: Path) -> None:
    assert is_address("s3://bucket/x")
    assert not is_address(tmp_path)
    for call in (index_folder, verify, ShardFolder, ShardWriter, lambda path: repair(path, tmp_path)):
        with pytest.raises(ConfigError, match="before it became a Path, which drops a slash"):
            call(Path("s3://bucket/pairs"))
    with pytest.raises(ConfigError, match=r"s3://bucket/raw is an address; `urt-data convert` copies it"):
        get("hpdv3").records("s3://bucket/raw")
    with pytest.raises(ConfigError, match=r"nowhere://x: .*addresses are those of fsspec"):
        ShardWriter("nowhere://x")


def test_a_missing_client_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(address: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(ConfigError, match=r"s3://bucket/x needs a client for s3://: pip install 'urt-data\[s3\]'"):
        ShardWriter("s3://bucket/x")


def test_names_at_an_address_cannot_leave_the_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hostile:
        def isfile(self, path: str) -> bool:
            return False

        def find(self, path: str) -> list[str]:
            return ["bucket/../../evil"]

    monkeypatch.setattr("urt_data.shards.addresses.connect", lambda address: (Hostile(), "bucket"))
    with pytest.raises(ShardError, match="leaves the folder"), local_copy("x://bucket"):
        pass
