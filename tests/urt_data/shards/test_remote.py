"""Shards behind fsspec: the same records, a cache that stays within its bound, and nothing unproven in it."""

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from urt_data import PreferenceStream, Quarantine, ShardCache, ShardFolder
from urt_data.errors import AddressError, ConfigError, SampleError, ShardError
from urt_data.shards.remote import RemoteStorage

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")


@pytest.fixture
def remote(folder_of):
    """A folder of 50 pairs in 8 shards, also at a memory:// address."""
    folder = folder_of(50)
    memory = fsspec.filesystem("memory")
    memory.put(folder.folder, "/bucket/pairs", recursive=True)
    yield folder
    memory.rm("/bucket", recursive=True)


def cache_for(folder: ShardFolder, path: Path, *, shards: float) -> ShardCache:
    return ShardCache(folder=str(path), max_bytes=int(shards * max(entry.num_bytes for entry in folder.shards)))


def used(path: Path) -> int:
    return sum(file.stat().st_size for file in path.glob("*.tar"))


def test_records_are_the_same(remote, tmp_path):
    far = ShardFolder("memory://bucket/pairs", cache=cache_for(remote, tmp_path / "cache", shards=2))
    assert far.manifest_sha256 == remote.manifest_sha256
    assert list(far) == list(remote)
    assert 0 < used(tmp_path / "cache") <= (far.cache_bytes or 0)
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_a_stream_fetches_each_shard_once(remote, tmp_path, monkeypatch):
    far = ShardFolder("memory://bucket/pairs", cache=cache_for(remote, tmp_path / "cache", shards=4))
    fetched, fetch = [], RemoteStorage._download

    def counted(storage, entry, partial) -> None:
        fetched.append(entry.name)
        fetch(storage, entry, partial)

    monkeypatch.setattr(RemoteStorage, "_download", counted)
    order = [
        [record.key for record in batch] for batch in PreferenceStream(far, batch_size=4, seed=0, shuffle_window=14)
    ]
    assert order == [
        [record.key for record in batch] for batch in PreferenceStream(remote, batch_size=4, seed=0, shuffle_window=14)
    ]
    assert sorted(fetched) == [entry.name for entry in remote.shards]


def test_a_cache_too_small_for_the_shuffle_is_refused(remote, tmp_path):
    far = ShardFolder("memory://bucket/pairs", cache=cache_for(remote, tmp_path / "cache", shards=1.5))
    with pytest.raises(
        ConfigError, match=r"raise ShardCache\.max_bytes .* make room on its disk, or lower shuffle_window=14"
    ):
        PreferenceStream(far, batch_size=4, seed=0, shuffle_window=14)
    assert len(list(PreferenceStream(far, batch_size=50, seed=0, shuffle=False))) == 1


def test_a_shard_larger_than_the_cache_is_refused(remote, tmp_path):
    far = ShardFolder("memory://bucket/pairs", cache=cache_for(remote, tmp_path / "cache", shards=0.5))
    with pytest.raises(SampleError, match=r"the cache holds .* raise ShardCache\.max_bytes"):
        far[0]


def test_remote_needs_a_cache():
    with pytest.raises(ShardError, match="is remote; pass cache=ShardCache"):
        ShardFolder("memory://bucket/pairs")


@pytest.mark.parametrize("harm", ["flip", "cut", "grow", "lose"])
def test_what_does_not_match_is_never_cached(remote, tmp_path, harm):
    memory = fsspec.filesystem("memory")
    path = "/bucket/pairs/shard-000001.tar"
    content = memory.cat_file(path)
    if harm == "lose":
        memory.rm(path)
    else:
        flipped = content[:700] + bytes([content[700] ^ 1]) + content[701:]
        memory.pipe_file(path, {"flip": flipped, "cut": content[:-600], "grow": content + content}[harm])
    far = ShardFolder("memory://bucket/pairs", cache=cache_for(remote, tmp_path / "cache", shards=3))
    with pytest.raises(SampleError, match=r"upload it again"):
        far[7]
    assert far[0] == remote[0]
    assert [path.name for path in (tmp_path / "cache").glob("*.tar")] == [f"{remote.shards[0].sha256}.tar"]
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_an_abandoned_download_makes_room(remote, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "abandoned.partial").write_bytes(bytes(10_000_000))
    far = ShardFolder("memory://bucket/pairs", cache=cache_for(remote, cache, shards=1))
    assert far[0] == remote[0]
    assert not (cache / "abandoned.partial").exists()


def test_readers_share_a_cache(remote, tmp_path):
    """Threads with their own folders stand for processes: locks are per open file."""
    cache = cache_for(remote, tmp_path / "cache", shards=2)
    read: dict[int, list] = {}

    def reader(number: int) -> None:
        far = ShardFolder("memory://bucket/pairs", cache=cache)
        positions = range(number, 50, 3) if number % 2 else reversed(range(number, 50, 3))
        read[number] = [far[position].key for position in positions]

    threads = [threading.Thread(target=reader, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(key for keys in read.values() for key in keys) == sorted(record.key for record in remote)
    assert used(tmp_path / "cache") <= cache.max_bytes
    assert os.listdir(tmp_path / "cache")


def test_a_cache_folder_that_cannot_be_written_is_named_at_once(remote, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(
        AddressError,
        match=r"cache folder .*file/cache, .* memory://bucket/pairs, cannot be written .*data\.cache\.folder",
    ):
        ShardFolder("memory://bucket/pairs", cache=cache_for(remote, tmp_path / "file" / "cache", shards=9))


def test_a_full_disk_under_the_cache_is_said_before_training(remote, tmp_path, monkeypatch):
    far = ShardFolder("memory://bucket/pairs", cache=cache_for(remote, tmp_path / "cache", shards=9))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(ConfigError, match=r"memory://bucket/pairs .* its cache holds 100; .* make room on its disk"):
        PreferenceStream(far, batch_size=4, seed=0, shuffle_window=14)
    with pytest.raises(
        AddressError, match=r"pairs/shard-000000\.tar has .* disk of the cache folder .* has room for 100"
    ):
        far[0]


def test_a_disk_that_fills_up_costs_the_oldest_shards(remote, tmp_path, monkeypatch):
    """Room for one more shard than are there: the one used longest ago goes, as it does at the bound."""
    far = ShardFolder("memory://bucket/pairs", cache=cache_for(remote, tmp_path / "cache", shards=99))
    starts = [int(start) for start in far.shard_starts[:-1]]
    assert far[starts[0]].key == remote[starts[0]].key
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
    assert far[starts[1]].key == remote[starts[1]].key
    assert {path.stem for path in (tmp_path / "cache").glob("*.tar")} == {far.shards[1].sha256}


def test_a_remote_that_fails_in_training_sets_no_sample_aside(remote, tmp_path, monkeypatch):
    far = ShardFolder("memory://bucket/pairs", cache=cache_for(remote, tmp_path / "cache", shards=9))

    def broken(*arguments, **settings):
        raise TimeoutError("the line is dead")

    storage = far._storage
    assert isinstance(storage, RemoteStorage)
    monkeypatch.setattr(storage._filesystem, "open", broken)
    quarantine = Quarantine(max_share=1.0)
    with pytest.raises(AddressError, match=r"memory://bucket/pairs/shard-\d+\.tar cannot be reached \(TimeoutError"):
        next(iter(PreferenceStream(far, batch_size=4, seed=0, quarantine=quarantine)))
    assert quarantine.num_bad == 0
