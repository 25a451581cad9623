"""Rounds: how settings divide over devices, and a loader that goes on exactly where its state was taken."""

import multiprocessing

import pytest
import torch

from urt_core.errors import ConfigError, DataError
from urt_data import PreferenceStream, ShardFolder, ShardWriter
from urt_train.config import Orders
from urt_train.model.batching import SFTBatch
from urt_train.rollouts.loader import RoundLoader, rounds_of
from urt_train.stages.cold_start.config import ColdStartConfig
from urt_train.stages.grpo.config import GRPOConfig


@pytest.fixture(scope="module")
def shards(tmp_path_factory, records) -> ShardFolder:
    folder = tmp_path_factory.mktemp("pairs")
    with ShardWriter(folder / "shards") as writer:
        for record in records:
            writer.write(record)
    return ShardFolder(folder / "shards")


def loader_of(shards, *, num_rounds=7) -> tuple[RoundLoader, list[tuple[int, list[str]]]]:
    seen: list[tuple[int, list[str]]] = []

    def make_round(draw, number):
        seen.append((number, [record.key for record in draw()]))
        mask = torch.ones(1, 1, 1, dtype=torch.bool)
        return [SFTBatch(prompts={}, completion_ids=mask.long(), completion_mask=mask)] * 2

    stream = PreferenceStream(shards, batch_size=5, seed=3)
    return RoundLoader(stream, make_round, num_rounds=num_rounds, batches_per_round=2), seen


def test_a_loader_goes_on_where_its_state_was_taken(shards):
    straight, expected = loader_of(shards)
    assert len(list(straight)) == len(straight) == 14
    first, seen = loader_of(shards)
    batches = iter(first)
    for _ in range(2 * 4):  # four rounds, over the end of the first epoch
        next(batches)
    state = first.state_dict()
    second, seen_later = loader_of(shards)
    second.load_state_dict(state)
    assert len(list(second)) == 6
    assert seen + seen_later == expected
    assert [number for number, _ in expected] == list(range(7))


def test_every_record_comes_once_per_epoch(shards, records):
    loader, seen = loader_of(shards, num_rounds=3)
    list(loader)
    assert sorted(key for _, keys in seen for key in keys) == sorted(record.key for record in records)


def test_a_round_of_another_size_is_an_error(shards):
    stream = PreferenceStream(shards, batch_size=5, seed=3)
    loader = RoundLoader(stream, lambda draw, number: [], num_rounds=1, batches_per_round=2)
    with pytest.raises(DataError, match="round 0 has 0 micro-batches, not 2"):
        next(iter(loader))


def test_epochs_and_steps_limit_the_rounds(shards):
    stream = PreferenceStream(shards, batch_size=5, seed=3)
    assert rounds_of(stream, epochs=2, max_rounds=None) == 6, "12 records are 3 rounds of at most 5"
    assert rounds_of(stream, epochs=0.5, max_rounds=None) == 2
    assert rounds_of(stream, epochs=2, max_rounds=4) == 4


@pytest.mark.parametrize(
    ("settings", "num_ranks", "expected"),
    [
        ({"prompts_per_rollout": 16, "group_size": 8, "micro_batch_size": 128}, 1, (16, 128, 1, 1)),
        ({"prompts_per_rollout": 16, "group_size": 8, "micro_batch_size": 1000}, 2, (8, 64, 1, 1)),
        ({"prompts_per_rollout": 16, "group_size": 8, "micro_batch_size": 16}, 2, (8, 16, 4, 1)),
        ({"prompts_per_rollout": 16, "group_size": 8, "micro_batch_size": 2}, 4, (4, 2, 16, 1)),
        (
            {"prompts_per_rollout": 16, "group_size": 8, "micro_batch_size": 128, "steps_per_rollout": 4},
            1,
            (16, 32, 4, 4),
        ),
        ({"prompts_per_rollout": 4, "group_size": 8, "micro_batch_size": 4, "orders": Orders.both}, 1, (4, 4, 8, 1)),
    ],
)
def test_rollouts_divide(settings, num_ranks, expected):
    plan = GRPOConfig(**settings).plan(num_ranks=num_ranks)
    assert (plan.records_per_rank, plan.batch_size, plan.batches_per_round, plan.steps_per_round) == expected


def test_fine_tuning_steps_divide():
    plan = ColdStartConfig(batch_size=128, micro_batch_size=1).plan(num_ranks=8)
    assert (plan.records_per_rank, plan.batch_size, plan.batches_per_step) == (16, 1, 16)
    plan = ColdStartConfig(batch_size=10, micro_batch_size=4).plan(num_ranks=1)
    assert plan.batches_per_step == 3, "4 + 4 + 2"


@pytest.mark.parametrize(
    ("config", "num_ranks", "message"),
    [
        (ColdStartConfig(batch_size=10), 4, r"cold_start\.batch_size is 10; allowed: a multiple of the 4 devices"),
        (GRPOConfig(prompts_per_rollout=6), 4, r"grpo\.prompts_per_rollout is 6; allowed: a multiple of the 4 devices"),
        (
            GRPOConfig(micro_batch_size=3),
            1,
            r"grpo\.micro_batch_size is 3; allowed: a multiple or a divisor of the group of 8",
        ),
        (
            GRPOConfig(prompts_per_rollout=6, micro_batch_size=32),
            1,
            r"grpo\.micro_batch_size is 32; allowed: as many groups as divide the 6",
        ),
        (
            GRPOConfig(prompts_per_rollout=8, steps_per_rollout=4),
            4,
            r"grpo\.steps_per_rollout is 4; allowed: a divisor of the 2 prompts",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(config, num_ranks, message):
    with pytest.raises(ConfigError, match=message):
        config.plan(num_ranks=num_ranks)


def test_a_closed_loader_lets_go_of_the_processes_that_read_for_it(shards):
    stream = PreferenceStream(shards, batch_size=5, seed=3, num_workers=1)
    mask = torch.ones(1, 1, 1, dtype=torch.bool)
    batch = SFTBatch(prompts={}, completion_ids=mask.long(), completion_mask=mask)
    loader = RoundLoader(stream, lambda draw, number: [batch] * len(draw()[:1]), num_rounds=7, batches_per_round=1)
    before = set(multiprocessing.active_children())
    batches = iter(loader)
    next(batches)
    readers = set(multiprocessing.active_children()) - before
    assert len(readers) == 1
    loader.close()
    assert not readers & set(multiprocessing.active_children())
