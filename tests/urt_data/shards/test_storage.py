"""Files of a folder: regular ones, and no more of them than is there."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.urt_data.shards.conftest import SHARD, forged, put
from urt_data import ShardFolder
from urt_data.errors import ShardError
from urt_data.shards.index import INDEX_SUFFIX


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
