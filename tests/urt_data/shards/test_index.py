"""Manifests and indexes from anywhere: right hashes around wrong claims. Records, or an error that names the claim;
never anything else."""

import copy
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    "value", ["../victim/x", "../victim/evil", "a\0b", "a" * 400, "A" * 64, "", None, 7, ["a" * 64]]
)
@pytest.mark.parametrize("name", ["sha256", "index_sha256"])
def test_a_hash_is_64_hex_digits_before_it_names_a_file(whole: Path, tmp_path: Path, name: str, value: Any) -> None:
    folder = forged(whole, tmp_path / "forged", manifest=put("shards", 0, name, value=value))
    with pytest.raises(ShardError, match="a hash is 64 hexadecimal digits"):
        ShardFolder(folder)
    read_all(folder, tmp_path / "cache")


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("shards", 0, "num_samples"), 10**30, "do not|not whole numbers that add up"),
        (("shards", 0, "num_samples"), True, "whole numbers"),
        (("shards", 0, "num_bytes"), -1, "whole numbers"),
        (("shards", 0, "tasks"), ["image_generation"], "whole numbers"),
        (("shards", 0, "tasks"), {"cooking": 3}, "whole numbers"),
        (("shards", 0, "preferences"), {"first": 3, "second": 1}, "whole numbers"),
        (("shards", 0, "provenance"), {}, "no list of origins"),
        (("shards", 0, "provenance", 0, "commercial_ok"), "no", "commercial_ok is 'no'; it must be true or false"),
        (("shards", 0, "provenance", 0, "source"), ["a"], "it must be text"),
        (("shards", 0, "name"), 5, "names shard '5'"),
        (("shards", 0, "name"), "../x.tar", "names shard '../x.tar'"),
        (("shards", 0, "more"), 1, "not a manifest of shards"),
        (("shards",), {}, "no list of shards"),
        (("metadata",), [], "no metadata"),
        (("metadata", "x"), float("nan"), "cannot be written again"),
        (("metadata", "x"), "\ud800", "cannot be written again|is not JSON"),
    ],
)
def test_a_manifest_says_what_a_writer_says(whole: Path, tmp_path: Path, path: Any, value: Any, reason: str) -> None:
    folder = forged(whole, tmp_path / "forged", manifest=put(*path, value=value))
    with pytest.raises(ShardError, match=reason):
        ShardFolder(folder)
    read_all(folder, tmp_path / "cache")


def test_each_shard_is_listed_once(whole: Path, tmp_path: Path) -> None:
    def twice(document: Any) -> None:
        document["shards"] *= 2

    with pytest.raises(ShardError, match=f"lists shard '{SHARD}' twice"):
        ShardFolder(forged(whole, tmp_path / "forged", manifest=twice))


@pytest.mark.parametrize("digits", [b"9" * 5000, b"[" * 3000 + b"]" * 3000, b"1e999"])
def test_json_that_python_cannot_keep_is_named(whole: Path, tmp_path: Path, digits: bytes) -> None:
    content = (whole / "manifest.json").read_bytes()
    (tmp_path / "manifest.json").write_bytes(content.replace(b'"metadata":{}', b'"metadata":{"x":' + digits + b"}"))
    with pytest.raises(ShardError, match=r"is not JSON|written again|own sha256"):
        ShardFolder(tmp_path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("keys",), {"a": 1}),
        (("keys",), [["a"], ["b"], ["c"]]),
        (("keys", 0), "../x"),
        (("num_bytes",), "x"),
        (("sizes",), [1.5, 1, 1]),
        (("offsets", 1), -512),
        (("crc32", 0), 2**40),
        (("tasks",), [9, 9, 9]),
        (("task_names",), "image_generation"),
        (("sample_sha256", 0), "zz"),
        (("shard",), 7),
    ],
)
def test_an_index_holds_columns(whole: Path, tmp_path: Path, path: Any, value: Any) -> None:
    folder = forged(whole, tmp_path / "forged", index=put(*path, value=value))
    with pytest.raises(ShardError):
        list(ShardFolder(folder))
    read_all(folder, tmp_path / "cache")


def test_a_sample_gets_no_more_memory_than_its_file_has(whole: Path, tmp_path: Path) -> None:
    def huge(document: Any) -> None:
        document["num_bytes"] = 10**13
        document["sizes"][-1] = 10**13 - document["offsets"][-1]

    folder = forged(whole, tmp_path / "forged", index=huge, manifest=put("shards", 0, "num_bytes", value=10**13))
    with pytest.raises(ShardError, match=r"only [\d,]+ of 9,999,"):
        ShardFolder(folder)[2]
    assert ShardFolder(folder)[0].key == "pair-0"


@pytest.mark.parametrize("name", ["manifest.json", SHARD, SHARD + INDEX_SUFFIX])
def test_links_and_pipes_are_not_read(whole: Path, tmp_path: Path, name: str) -> None:
    for make in (lambda path: path.symlink_to(whole / name), os.mkfifo):
        folder = forged(whole, tmp_path / make.__name__.strip("<>"))
        (folder / name).unlink()
        make(folder / name)
        with pytest.raises(ShardError, match=r"is a link|not a regular file"):
            list(ShardFolder(folder))


def test_a_record_whose_origin_is_no_word_is_not_written(tmp_path: Path) -> None:
    for metadata in (
        {"commercial_ok": "no"},
        {"source": 7},
        {"licence": ["MIT"]},
        {"x": "\ud800"},
    ):
        with pytest.raises(ShardError, match=r"must be t|cannot be written as JSON"):
            write(tmp_path / "out", [replace(image_record(0), metadata=metadata)])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["image_generation", "../victim/x", "f" * 64, "\ud800", SHARD]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for name, item in inner for place in places(item, (*path, name))]


@given(st.booleans(), st.lists(st.tuples(st.integers(0, 10**6), JSON), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_behind_right_hashes_gives_records_or_a_shard_error(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, in_index: bool, changes: list
) -> None:
    def change(document: Any) -> None:
        for number, value in changes:
            every = places(document)
            put(*every[number % len(every)], value=copy.deepcopy(value))(document)

    base = tmp_path_factory.mktemp("any")
    try:
        folder = forged(whole, base / "forged", **{"index" if in_index else "manifest": change})
    except (TypeError, KeyError):
        return  # a change that another change has made impossible
    read_all(folder, base / "cache")
