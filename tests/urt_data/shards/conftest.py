"""A folder of one shard, and copies of it whose documents lie with hashes that fit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.urt_data.conftest import image_record, write
from urt_data import ShardCache, ShardFolder
from urt_data.errors import ShardError
from urt_data.shards.index import INDEX_SUFFIX, sha256
from urt_data.upkeep.verify import verify

SHARD = "shard-000000.tar"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write(folder, [replace(image_record(n), metadata={"source": "mine", "commercial_ok": True}) for n in range(3)])
    return folder


def written(document: Any) -> bytes:
    return (json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n").encode(
        errors="surrogatepass"
    )


def signed(document: dict[str, Any]) -> bytes:
    body = {name: value for name, value in document.items() if name != "sha256"}
    return written({**body, "sha256": sha256(written(body))})


def forged(
    whole: Path, folder: Path, *, manifest: Callable[[Any], object] = id, index: Callable[[Any], object] = id
) -> Path:
    """A copy of the folder whose documents say something else, with hashes that fit."""
    folder.mkdir(exist_ok=True)
    (folder / SHARD).write_bytes((whole / SHARD).read_bytes())
    columns = json.loads((whole / (SHARD + INDEX_SUFFIX)).read_bytes())
    index(columns)
    (folder / (SHARD + INDEX_SUFFIX)).write_bytes(written(columns))
    document = json.loads((whole / "manifest.json").read_bytes())
    document["shards"][0]["index_sha256"] = sha256(written(columns))
    manifest(document)
    (folder / "manifest.json").write_bytes(signed(document))
    return folder


def put(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return change


def read_all(folder: Path, cache: Path) -> None:
    """Both ways to read, and verify; only typed errors, and nothing beside the cache changes."""
    victim = cache.parent / "victim"
    victim.mkdir(exist_ok=True)
    (victim / "x.tar").write_bytes(b"hello")
    before = {path.name: path.stat().st_mtime_ns for path in victim.iterdir()}
    for address in (str(folder), f"file://{folder}"):
        try:
            records = ShardFolder(address, cache=ShardCache(folder=str(cache), max_bytes=10**7))
            assert all(record.text.startswith("scene") for record in records)
        except ShardError as error:
            assert str(error)  # noqa: PT017
    assert verify(folder).findings is not None
    assert {path.name: path.stat().st_mtime_ns for path in victim.iterdir()} == before
