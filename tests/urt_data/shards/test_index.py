"""Manifests and indexes from anywhere: right hashes around wrong claims. Records, or an error that names the claim;
never anything else."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.urt_data.shards.conftest import SHARD, forged, put, read_all
from urt_data import ShardFolder
from urt_data.errors import ShardError


@pytest.mark.parametrize("digits", [b"9" * 5000, b"[" * 3000 + b"]" * 3000, b"1e999"])
def test_json_that_python_cannot_keep_is_named(whole: Path, tmp_path: Path, digits: bytes) -> None:
    content = (whole / "manifest.json").read_bytes()
    (tmp_path / "manifest.json").write_bytes(content.replace(b'"metadata":{}', b'"metadata":{"x":' + digits + b"}"))
    with pytest.raises(ShardError, match=r"is not JSON|written again|own sha256"):
        ShardFolder(tmp_path)


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
