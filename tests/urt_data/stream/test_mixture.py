"""Shares, caps, repeats, balance and licences of mixtures."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.urt_data.conftest import answer_record, image_record, write
from urt_core.records import Preference
from urt_data import Mixture, MixtureItem, PreferenceStream
from urt_data.errors import LicenceError, MixtureError
from urt_data.stream.order import split_evenly
from urt_data.stream.selection import select


def read(mixture, *, epochs: int = 1, batch_size: int = 5, **settings) -> list[list[str]]:
    stream = PreferenceStream(mixture, batch_size=batch_size, seed=1, shuffle_window=14, **settings)
    return [[record.key for batch in stream for record in batch] for _ in range(epochs)]


@pytest.fixture
def two(folder_of):
    """40 pairs called a-… and 20 called b-…"""
    return folder_of(40, prefix="a", name="a"), folder_of(20, prefix="b", name="b")


def test_repeats_without_weights(two):
    a, b = two
    mixture = Mixture([MixtureItem(folder=a), MixtureItem(folder=b, repeat=2)])
    counts = Counter(read(mixture)[0])
    assert len(mixture) == 80
    assert set(counts.values()) == {1, 2}
    assert all(count == (2 if key.startswith("b") else 1) for key, count in counts.items())


def test_half_a_pass_takes_turns(two):
    mixture = Mixture([MixtureItem(folder=two[0], repeat=0.5)])
    first, second = read(mixture, epochs=2)
    assert len(first) == len(second) == 20
    assert set(first).isdisjoint(second)


def test_weights_are_exact_and_spread_over_the_epoch(two):
    a, b = two
    mixture = Mixture([MixtureItem(folder=a, weight=1), MixtureItem(folder=b, weight=3)], length=200)
    assert mixture.draws == (50, 150)
    keys = read(mixture, batch_size=20)[0]
    assert Counter(key[0] for key in keys) == {"a": 50, "b": 150}
    assert set(Counter(key for key in keys if key[0] == "b").values()) == {7, 8}


def test_the_scarcest_item_sets_the_length(two):
    mixture = Mixture([MixtureItem(folder=two[0], weight=1), MixtureItem(folder=two[1], weight=1)])
    assert mixture.draws == (20, 20)
    first, second = ([key for key in epoch if key[0] == "a"] for epoch in read(mixture, epochs=2))
    assert len(set(first + second)) == 40, "what one epoch leaves over comes in the next"


def test_shuffled_mixtures_are_mixed_everywhere(two):
    mixture = Mixture([MixtureItem(folder=two[0], weight=1), MixtureItem(folder=two[1], weight=1)], length=20_000)
    order = PreferenceStream(mixture, batch_size=1, seed=1)._order
    owners = np.array([place.component for place in order.places(0, 20_000)])
    # 200 stretches of 100 draws without replacement from even chunks: standard deviation below 5.
    shares = owners.reshape(200, 100).sum(axis=1)
    assert shares.min() > 25
    assert shares.max() < 75
    assert owners.reshape(-1, 4000).sum(axis=1).tolist() == pytest.approx([2000] * 5, abs=40)


@pytest.mark.parametrize(
    ("take", "expected"),
    [
        ("all", range(10)),
        ("first:3", (0, 1, 2)),
        ("first:30", range(10)),
        ("end:20%", (8, 9)),
        ("first:0%", ()),
        ("random:100%", range(10)),
    ],
)
def test_take(take, expected):
    kept = select(10, take, words=(0,))
    assert (list(range(10)) if kept is None else kept.tolist()) == list(expected)


def test_random_take_is_a_fixed_draw(two):
    draws = {repr(select(40, "random:25%", words=(seed,))) for seed in range(3)}
    assert len(draws) == 3
    mixture = Mixture([MixtureItem(folder=two[0], take="random:25%")])
    first, second = read(mixture, epochs=2)
    assert len(set(first)) == 10
    assert sorted(first) == sorted(second)


@pytest.mark.parametrize("take", ["some", "first:", "first:1.5", "random:101%", "end:-3"])
def test_take_that_means_nothing(take):
    with pytest.raises(MixtureError, match="take is"):
        select(10, take, words=())


def test_balanced_tasks(tmp_path):
    records = [image_record(number) if number % 5 else answer_record(number) for number in range(50)]
    folder = write(tmp_path / "mixed", records, samples_per_shard=7)
    mixture = Mixture([MixtureItem(folder=folder)], balance_tasks=True)
    keys = read(mixture)[0]
    assert Counter(key.split("-")[0] for key in keys) == {"pair": 10, "clip": 10}
    assert len(set(keys)) == 20
    longer = Mixture([MixtureItem(folder=folder)], balance_tasks=True, length=80)
    keys = read(longer)[0]
    assert Counter(key.split("-")[0] for key in keys) == {"pair": 40, "clip": 40}
    assert set(Counter(keys).values()) == {1, 4}


def test_balance_with_a_cap_per_task(tmp_path):
    records = [image_record(number) if number % 2 else answer_record(number) for number in range(20)]
    folder = write(tmp_path / "mixed", records, samples_per_shard=3)
    mixture = Mixture([MixtureItem(folder=folder, take="first:2")], balance_tasks=True)
    assert sorted(read(mixture)[0]) == ["clip-0", "clip-2", "pair-1", "pair-3"]


@pytest.mark.parametrize(
    ("items", "settings", "message"),
    [
        ([dict(weight=1), dict()], {}, "one to all or to none"),
        ([dict()], dict(length=5), "needs weights"),
        ([dict(take="first:0")], {}, "is empty"),
        ([dict(weight=1), dict(weight=1)], dict(length=1), "too short for 2 parts"),
    ],
)
def test_mixtures_that_cannot_be(two, items, settings, message):
    with pytest.raises(MixtureError, match=message):
        Mixture([MixtureItem(folder=folder, **item) for folder, item in zip(two, items, strict=False)], **settings)


def test_licences_are_enforced(tmp_path):
    def folder(name: str, **metadata):
        return write(tmp_path / name, [replace(image_record(0), metadata={"source": name, "licence": "x", **metadata})])

    free, closed, benchmark = (
        folder("free", commercial_ok=True),
        folder("closed", commercial_ok=False),
        folder("bench", evaluation_only=True),
    )
    Mixture([MixtureItem(folder=free), MixtureItem(folder=folder("own"))])
    with pytest.raises(LicenceError, match=r"1 records of closed with licence 'x'.*allow_noncommercial=True"):
        Mixture([MixtureItem(folder=free), MixtureItem(folder=closed)])
    mixture = Mixture([MixtureItem(folder=free), MixtureItem(folder=closed)], allow_noncommercial=True)
    assert {(row["source"], row["num_samples"]) for row in mixture.provenance} == {("free", 1), ("closed", 1)}
    with pytest.raises(LicenceError, match="1 records of bench that are for evaluation only"):
        Mixture([MixtureItem(folder=benchmark)])
    assert len(Mixture([MixtureItem(folder=benchmark)], allow_evaluation=True)) == 1


def test_worlds_and_resume_over_a_mixture(two):
    mixture = Mixture([MixtureItem(folder=two[0], weight=2), MixtureItem(folder=two[1], weight=1)], length=35)
    reference = [key for epoch in read(mixture, epochs=6) for key in epoch]
    for cut in (1, 3, 4, 6):
        streams = [
            PreferenceStream(mixture, batch_size=2, seed=1, shuffle_window=14, rank=rank, world_size=3)
            for rank in range(3)
        ]
        iterators = [iter(stream) for stream in streams]
        done = [record.key for _ in range(cut) for iterator in iterators for record in next(iterator, [])]
        resumed = PreferenceStream(mixture, batch_size=5, seed=1, shuffle_window=14)
        resumed.load_state_dict(streams[0].state_dict())
        rest = [record.key for _ in range(3) for batch in resumed for record in batch]
        assert done + rest == reference[: len(done + rest)]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_components_share_every_stretch(draws):
    counts = [split_evenly(draws, position) for position in range(sum(draws) + 1)]
    assert counts[-1] == list(draws)
    assert all(sum(count) == position for position, count in enumerate(counts))
    assert all(
        later >= earlier for before, after in pairwise(counts) for earlier, later in zip(before, after, strict=True)
    )
    for position, count in enumerate(counts):
        for component, draw in enumerate(draws):
            assert abs(count[component] - draw * position / sum(draws)) <= len(draws)


def test_only_the_tasks_that_are_asked_for_are_drawn(two):
    """A task that is not there is an error that says which are."""
    tasks = sorted(two[0].manifest["tasks"])
    mixture = Mixture([MixtureItem(folder=two[0], tasks=(tasks[0],))])
    drawn = [record for batch in PreferenceStream(mixture, batch_size=7, seed=0) for record in batch]
    assert {str(record.task) for record in drawn} == {tasks[0]}
    assert len(drawn) == two[0].manifest["tasks"][tasks[0]]
    with pytest.raises(MixtureError, match=rf"holds no record of cooking; it holds: {', '.join(tasks)}"):
        Mixture([MixtureItem(folder=two[0], tasks=("cooking",))])


def test_records_without_a_winner_are_left_out_and_counted(two):
    undecided = [record for record in two[0] if record.preference in (None, Preference.TIE)]
    assert undecided
    mixture = Mixture([MixtureItem(folder=two[0], decided=True)])
    drawn = {record.key for batch in PreferenceStream(mixture, batch_size=7, seed=0) for record in batch}
    assert drawn == {record.key for record in two[0]} - {record.key for record in undecided}
    assert mixture.left_out.total() == len(undecided)
    assert set(mixture.left_out) <= {"label is a tie", "no label"}


def test_an_item_balances_its_own_tasks(two):
    counts = two[0].manifest["tasks"]
    mixture = Mixture([MixtureItem(folder=two[0], balance_tasks=True), MixtureItem(folder=two[1])])
    assert sorted(mixture.draws) == sorted([*[min(counts.values())] * len(counts), len(two[1])])
