"""Any world, any workers, any interruption: the same records in the same global order, each once."""

import itertools
import json
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from urt_data import PreferenceStream, Quarantine, ShardFolder
from urt_data.errors import ConfigError, QuarantineError, SampleError, StreamStateError


def keys(batch) -> list[str]:
    return [record.key for record in batch]


def read_world(
    folder, *, world_size: int, batch_size: int, epochs: int = 1, state=None, stop_after: int | None = None, **settings
):
    """Global order of a whole world, the number of batches per rank, and the state after the last batch."""
    streams = [
        PreferenceStream(
            folder, batch_size=batch_size, rank=rank, world_size=world_size, seed=3, shuffle_window=14, **settings
        )
        for rank in range(world_size)
    ]
    for stream in streams:
        if state is not None:
            stream.load_state_dict(json.loads(json.dumps(state)))
    iterators = [itertools.chain.from_iterable(itertools.repeat(stream, epochs)) for stream in streams]
    order: list[str] = []
    for step in itertools.count():
        if step == stop_after:
            break
        batches = [next(iterator, None) for iterator in iterators]
        assert len({batch is None for batch in batches}) == 1, "ranks disagree on the number of batches"
        if batches[0] is None:
            break
        assert all(batches)
        order += [key for batch in batches for key in keys(batch)]
    states = [stream.state_dict() for stream in streams]
    assert all(other == states[0] for other in states)
    return order, states[0]


def test_one_epoch_holds_each_record_once(folder_of):
    folder = folder_of(50)
    stream = PreferenceStream(folder, batch_size=8, seed=0)
    batches = list(stream)
    assert [len(batch) for batch in batches] == [8] * 6 + [2]
    assert len(batches) == len(stream)
    first = [record.key for batch in batches for record in batch]
    assert sorted(first) == sorted(record.key for record in folder)
    second = [record.key for batch in stream for record in batch]
    assert sorted(second) == sorted(first)
    assert second != first
    assert stream.epoch == 2
    stream.set_epoch(0)
    assert [record.key for batch in stream for record in batch] == first


def test_order_does_not_depend_on_the_process(folder_of):
    # A golden value: resuming a run on another machine or numpy version needs exactly this order.
    batch = next(iter(PreferenceStream(folder_of(50), batch_size=8, seed=0, shuffle_window=14)))
    assert keys(batch) == ["pair-29", "pair-12", "pair-7", "pair-33", "pair-13", "pair-9", "pair-28", "pair-8"]


def test_without_shuffling_records_come_as_stored(folder_of):
    stream = PreferenceStream(folder_of(20), batch_size=6, seed=0, shuffle=False)
    for _ in range(2):
        assert [record.key for batch in stream for record in batch] == [f"pair-{number}" for number in range(20)]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("count", [37, 50, 64])
def test_every_world_reads_the_same_order(folder_of, world_size, count):
    folder = folder_of(count)
    reference, _ = read_world(folder, world_size=1, batch_size=5, epochs=3)
    for batch_size in (1, 2, 3):
        order, state = read_world(folder, world_size=world_size, batch_size=batch_size, epochs=3)
        # Fewer records than ranks are carried into the next epoch, never dropped.
        assert len(order) > len(reference) - world_size
        assert order == reference[: len(order)]
        assert state["position"] == len(order)


@pytest.mark.parametrize("before", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("after", [1, 2, 3, 4, 8])
def test_resume_on_another_world(folder_of, before, after, monkeypatch):
    folder = folder_of(41)
    monkeypatch.setattr(folder, "read", cache(folder.read))
    reference, _ = read_world(folder, world_size=1, batch_size=1, epochs=7)
    for cut in range(1, 11):
        done, state = read_world(folder, world_size=before, batch_size=2, epochs=4, stop_after=cut)
        rest, _ = read_world(folder, world_size=after, batch_size=2, epochs=2, state=state)
        assert done + rest == reference[: len(done) + len(rest)]
        assert len(rest) > 41 - after


def test_state_is_small_and_belongs_to_its_data(folder_of):
    folder = folder_of(30)
    stream = PreferenceStream(folder, batch_size=4, seed=3)
    next(iter(stream))
    state = stream.state_dict()
    assert len(json.dumps(state)) < 400
    with pytest.raises(StreamStateError, match="seed=3, this stream has 4"):
        PreferenceStream(folder, batch_size=4, seed=4).load_state_dict(state)
    other = folder_of(31, name="other")
    with pytest.raises(StreamStateError, match="source="):
        PreferenceStream(other, batch_size=4, seed=3).load_state_dict(state)


def test_length_counts_batches_already_read(folder_of):
    folder = folder_of(40)
    stream = PreferenceStream(folder, batch_size=4, seed=3)
    iterator = iter(stream)
    for _ in range(2):
        next(iterator)
    assert len(stream) == 10
    resumed = PreferenceStream(folder, batch_size=4, rank=1, world_size=2, seed=3)
    resumed.load_state_dict(stream.state_dict())
    assert len(resumed) == 2 + 4
    assert len(list(resumed)) == 4


def test_a_larger_world_resumes_next_to_the_end_of_an_epoch(folder_of):
    folder = folder_of(10)
    stream = PreferenceStream(folder, batch_size=4, seed=3)
    iterator = iter(stream)
    done = keys(next(iterator)) + keys(next(iterator))
    worlds = [PreferenceStream(folder, batch_size=1, rank=rank, world_size=4, seed=3) for rank in range(4)]
    for world in worlds:
        world.load_state_dict(stream.state_dict())
        assert world.epoch == 1
    step = [keys(batch)[0] for batch in next(zip(*worlds, strict=True))]
    assert sorted(done + step[:2]) == sorted(record.key for record in folder)


def test_more_ranks_than_records_is_refused(folder_of):
    with pytest.raises(ConfigError, match="3 records cannot be shared by 4 ranks"):
        PreferenceStream(folder_of(3), batch_size=1, seed=0, rank=0, world_size=4)


def test_transform_makes_the_batch(folder_of):
    stream = PreferenceStream(folder_of(10), batch_size=4, seed=0, transform=len)
    assert list(stream) == [4, 4, 2]


def test_stream_and_folder_survive_pickling(folder_of):
    stream = PreferenceStream(folder_of(10), batch_size=4, seed=0)
    next(iter(stream))
    copy = pickle.loads(pickle.dumps(stream))  # noqa: S301  # what a spawned worker process receives
    assert [keys(batch) for batch in copy] == [keys(batch) for batch in stream]


def damage(folder: ShardFolder, position: int) -> str:
    """Flip a bit in a record's last byte of media; returns its key."""
    shard = int(np.searchsorted(folder.shard_starts, position, side="right")) - 1
    row = position - int(folder.shard_starts[shard])
    index = folder.index(shard)
    path = Path(folder.folder, index.shard)
    content = bytearray(path.read_bytes())
    content[index.offsets[row] + index.sizes[row] - 300] ^= 1
    path.write_bytes(content)
    return index.keys[row]


def test_a_bad_sample_ends_a_run_without_quarantine(folder_of):
    folder = folder_of(20)
    key = damage(folder, 11)
    with pytest.raises(SampleError, match=f"shard-000001.tar, sample {key}: its bytes do not match"):
        list(PreferenceStream(folder, batch_size=4, seed=0))


def test_quarantine_names_and_counts(folder_of, tmp_path, caplog):
    folder = folder_of(20)
    bad = {damage(folder, position) for position in (3, 11)}
    quarantine = Quarantine(file=tmp_path / "q" / "bad.jsonl")
    read = [
        key for batch in PreferenceStream(folder, batch_size=4, seed=0, quarantine=quarantine) for key in keys(batch)
    ]
    assert sorted([*read, *bad]) == sorted(f"pair-{number}" for number in range(20))
    written = [json.loads(line) for line in (tmp_path / "q" / "bad.jsonl").read_text().splitlines()]
    assert {row["key"] for row in written} == bad
    assert all("crc32" in row["reason"] for row in written)
    assert (quarantine.num_read, quarantine.num_bad) == (20, 2)


def test_an_unreadable_batch_is_stood_in_for(folder_of):
    folder = folder_of(6)
    damage(folder, 0)
    stream = PreferenceStream(folder, batch_size=1, seed=0, shuffle=False, quarantine=Quarantine())
    assert [keys(batch) for batch in stream] == [["pair-1"], ["pair-1"], ["pair-2"], ["pair-3"], ["pair-4"], ["pair-5"]]


def test_quarantine_budgets(folder_of):
    folder = folder_of(20)
    for position in range(4, 8):
        damage(folder, position)
    with pytest.raises(QuarantineError, match="3 in a row, allowed are 2"):
        list(PreferenceStream(folder, batch_size=4, seed=0, shuffle=False, quarantine=Quarantine(max_consecutive=2)))
    with pytest.raises(QuarantineError, match="3 of 7 samples are bad"):
        list(
            PreferenceStream(
                folder, batch_size=4, seed=0, shuffle=False, quarantine=Quarantine(max_share=0.2, grace=10)
            )
        )
