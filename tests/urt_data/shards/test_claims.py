"""What a manifest and an index may say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.urt_data.conftest import image_record, write
from tests.urt_data.shards.conftest import SHARD, forged, put, read_all
from urt_data import ShardFolder
from urt_data.errors import ShardError


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


def test_a_record_whose_origin_is_no_word_is_not_written(tmp_path: Path) -> None:
    for metadata in (
        {"commercial_ok": "no"},
        {"source": 7},
        {"licence": ["MIT"]},
        {"x": "\ud800"},
    ):
        with pytest.raises(ShardError, match=r"must be t|cannot be written as JSON"):
            write(tmp_path / "out", [replace(image_record(0), metadata=metadata)])
