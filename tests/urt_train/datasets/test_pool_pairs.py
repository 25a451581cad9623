"""The pool holds what can be judged; what it leaves out is counted, and read only where there is something to leave
out."""

from dataclasses import replace

import pytest

from urt_core import Preference
from urt_core.errors import DataError
from urt_data import ShardFolder, ShardWriter
from urt_train.datasets.distill import direct_answer
from urt_train.datasets.pool_pairs import pool_pairs, traces_of

TASKS = ["image_generation", "video_generation", "image_understanding", "video_understanding"]


def shards_of(folder, records, labels: dict[int, Preference | None]) -> ShardFolder:
    """Twelve pairs in three shards of four, one of each task; some with other labels."""
    with ShardWriter(folder, samples_per_shard=4) as shards:
        for number, record in enumerate(records):
            shards.write(replace(record, preference=labels.get(number, record.preference)))
    return ShardFolder(folder)


def keys_of(pairs) -> list[int]:
    return [int(record.key.removeprefix("pair-")) for record in pairs]


def traces_in(folder, records, *, made_from: ShardFolder) -> ShardFolder | None:
    with ShardWriter(folder, metadata={"made_from": made_from.manifest_sha256}) as shards:
        for record in records:
            shards.write(record)
            shards.write(direct_answer(record))
    return traces_of(made_from, folder)


def test_ties_unlabelled_and_traced_pairs_are_left_out_and_counted(tmp_path, records):
    source = shards_of(tmp_path / "train", records, {0: Preference.TIE, 4: Preference.TIE, 5: None})
    traces = traces_in(tmp_path / "cold_start", records[3:5], made_from=source)
    chosen = pool_pairs(source, tasks=TASKS, per_task=None, traces=traces)
    assert keys_of(chosen.pairs) == [1, 2, 6, 7, 8, 9, 10, 11]
    assert chosen.left_out == {
        "image_generation": {"has a trace": 1, "label is a tie": 1},
        "video_generation": {"no label": 1},
        "video_understanding": {"has a trace": 1},
    }


def test_traces_of_other_data_say_nothing_about_these_pairs(tmp_path, records):
    source = shards_of(tmp_path / "pool", records, {})
    assert traces_of(source, tmp_path / "nowhere") is None
    other = shards_of(tmp_path / "train", records[:6], {})
    traces_in(tmp_path / "cold_start", records[:2], made_from=other)
    assert traces_of(source, tmp_path / "cold_start") is None
    assert len(traces_of(other, tmp_path / "cold_start") or ()) == 4


def test_the_limit_counts_what_is_taken(tmp_path, records):
    source = shards_of(tmp_path, records, {0: Preference.TIE, 8: Preference.TIE})
    chosen = pool_pairs(source, tasks=["image_generation"], per_task=1)
    assert keys_of(chosen.pairs) == [4]
    assert chosen.left_out == {"image_generation": {"label is a tie": 1}}, (
        "the tie behind the last pair is not looked at"
    )


def test_only_shards_with_such_labels_are_read(tmp_path, records, monkeypatch):
    read, seen = ShardFolder.read, []
    monkeypatch.setattr(ShardFolder, "read", lambda self, shard, row: seen.append(shard) or read(self, shard, row))
    pool_pairs(shards_of(tmp_path / "all", records, {}), tasks=TASKS, per_task=None)
    of_type_checks = len(seen)  # the test run looks into every argument that is a sequence of records
    seen.clear()
    pool_pairs(shards_of(tmp_path / "but_one", records, {5: None}), tasks=TASKS, per_task=None)
    assert len(seen) == of_type_checks + 4
    assert seen.count(1) >= 4


def test_nothing_to_judge_says_why(tmp_path, records):
    source = shards_of(tmp_path / "train", records, {0: Preference.TIE, 4: None})
    traces = traces_in(tmp_path / "cold_start", records[8:9], made_from=source)
    with pytest.raises(
        DataError, match=r"holds no pair to judge \(.*label is a tie: 1.*\); name other pairs with data\.pool="
    ):
        pool_pairs(source, tasks=["image_generation"], per_task=None, traces=traces)
