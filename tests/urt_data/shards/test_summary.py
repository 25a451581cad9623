"""What index and manifest say about a shard, against the bytes that went by."""

import zlib
from collections import Counter
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from tests.urt_data.conftest import answer_record, image_record
from urt_data.errors import ShardError
from urt_data.shards.index import ShardIndex
from urt_data.shards.summary import UNLABELLED, ShardSummary

RECORDS = [
    *(replace(image_record(number), metadata={"source": "mine", "commercial_ok": True}) for number in range(5)),
    answer_record(5),
]
PACKED = [bytes([number]) * 512 * (number + 1) for number in range(6)]
TRAILER = bytes(1024)


def test_columns_and_counts_are_those_of_the_samples() -> None:
    summary = ShardSummary("shard-000000.tar")
    for record, packed in zip(RECORDS, PACKED, strict=True):
        summary.add(record, packed)
    content, entry = summary.finish(TRAILER)
    index = ShardIndex.from_bytes(content, name="index")
    whole = b"".join(PACKED) + TRAILER
    sizes = [len(packed) for packed in PACKED]
    assert index.sizes.tolist() == sizes
    assert index.offsets.tolist() == [0, *np.cumsum(sizes)[:-1].tolist()]
    assert index.crc32.tolist() == [zlib.crc32(packed) for packed in PACKED]
    assert [row.tobytes() for row in index.digests] == [sha256(packed).digest() for packed in PACKED]
    assert [index.task_names[task] for task in index.tasks] == [str(record.task) for record in RECORDS]
    assert index.keys == [record.key for record in RECORDS]
    assert (entry.num_samples, entry.num_bytes) == (6, len(whole))
    assert entry.sha256 == index.sha256 == sha256(whole).hexdigest()
    assert entry.index_sha256 == sha256(content).hexdigest()
    assert entry.tasks == {"image_generation": 5, "video_understanding": 1}
    assert entry.preferences == Counter(str(record.preference or UNLABELLED) for record in RECORDS)
    assert sorted((row.get("source"), row["num_samples"]) for row in entry.provenance if row.get("source")) == [
        ("mine", 5)
    ]


def test_a_key_stands_once() -> None:
    summary = ShardSummary("shard-000000.tar")
    summary.add(RECORDS[0], PACKED[0])
    with pytest.raises(ShardError, match=r"key 'pair-0' appears twice in shard-000000.tar"):
        summary.add(RECORDS[0], PACKED[0])
    assert summary.num_bytes == len(PACKED[0])
