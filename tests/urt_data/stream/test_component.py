"""Some records of a folder, and the order of a pass over them."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.urt_data.conftest import answer_record, image_record, write
from urt_data.stream.component import Component, pass_order


@pytest.fixture
def folder(tmp_path):
    records = [image_record(n) if n % 3 else answer_record(n) for n in range(20)]
    return write(tmp_path / "pairs", records, samples_per_shard=7)


def keys(component: Component) -> list[str]:
    return [
        record.key
        for shard, count in enumerate(component.shard_counts)
        for number in range(count)
        if (record := component.read(shard, number)) is not None
    ]


def test_all_records_one_task_and_a_selection_of_it(folder):
    whole = Component(folder)
    assert (len(whole), whole.shard_counts.tolist()) == (20, [7, 7, 6])
    assert keys(whole) == [record.key for record in folder]
    answers = Component(folder, task="video_understanding")
    assert keys(answers) == [f"clip-{n}" for n in range(0, 20, 3)]
    some = Component(folder, task="video_understanding", kept=np.array([1, 2, 6]))
    assert keys(some) == ["clip-3", "clip-6", "clip-18"]
    assert some.shard_counts.tolist() == [2, 0, 1]
    assert [some.row(0, 0), some.row(0, 1), some.row(2, 0)] == [3, 6, 4]


def test_pairs_without_a_winner_are_found_and_counted_by_reason(folder):
    kept, left_out = Component(folder).with_a_winner()
    without = [n for n in range(20) if n % 3 and n % 4 in (2, 3)]
    assert kept is not None
    assert kept.tolist() == [n for n in range(20) if n not in without]
    assert left_out == Counter(
        {"label is a tie": sum(n % 4 == 2 for n in without), "no label": sum(n % 4 == 3 for n in without)}
    )
    assert Component(folder, task="video_understanding").with_a_winner()[0] is None


COUNTS = st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(any)


@given(counts=COUNTS, window=st.integers(1, 60), seed=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_pass_reads_every_record_once_and_stays_within_its_window(counts, window, seed):
    order = pass_order(np.array(counts), words=(seed, 0, 0), window=window)
    total = sum(counts)
    shards, numbers = order.locate(np.arange(total))
    assert sorted(zip(shards.tolist(), numbers.tolist(), strict=True)) == [
        (shard, number) for shard, count in enumerate(counts) for number in range(count)
    ]
    starts = dict(zip(order.shard_order.tolist(), order.shard_starts.tolist(), strict=False))
    unmixed = np.array([starts[shard] for shard in shards.tolist()]) + numbers
    for start, end in zip(order.window_starts[:-1], order.window_starts[1:], strict=True):
        assert sorted(unmixed[start:end].tolist()) == list(range(start, end))
        assert end == total or end - start >= window


@given(counts=COUNTS, window=st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_without_words_records_come_as_they_are_stored(counts, window):
    order = pass_order(np.array(counts), words=None, window=window)
    shards, numbers = order.locate(np.arange(sum(counts)))
    assert list(zip(shards.tolist(), numbers.tolist(), strict=True)) == [
        (shard, number) for shard, count in enumerate(counts) for number in range(count)
    ]


def test_any_part_of_a_pass_is_found_alone():
    order = pass_order(np.array([9, 0, 14, 3]), words=(1, 0, 0), window=8)
    whole = np.stack(order.locate(np.arange(26)))
    some = np.array([25, 0, 13])
    assert np.array_equal(np.stack(order.locate(some)), whole[:, some])
