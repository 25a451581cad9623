"""How a rollout divides, and what does not go together."""

import pytest

from urt_core.errors import ConfigError
from urt_train.config.choices import Batching, Orders, RolloutEngine
from urt_train.stages.grpo.config import GRPOConfig


@pytest.mark.parametrize(
    ("settings", "ranks", "expected"),
    [
        # (records of a rank, sequences of a micro-batch, micro-batches of a rollout, optimizer steps on it)
        ({}, 8, (8, 1, 64, 1)),
        ({"micro_batch_size": 8}, 8, (8, 8, 8, 1)),
        ({"micro_batch_size": 16}, 8, (8, 16, 4, 1)),
        ({"micro_batch_size": 512}, 8, (8, 64, 1, 1)),
        ({"steps_per_rollout": 2, "micro_batch_size": 8}, 8, (8, 8, 8, 2)),
        ({"orders": Orders.both, "micro_batch_size": 4}, 8, (8, 4, 16, 1)),
        ({"orders": Orders.both, "micro_batch_size": 2}, 8, (8, 2, 32, 1)),
    ],
)
def test_a_rollout_divides_without_rest(settings, ranks, expected):
    config = GRPOConfig(**settings)
    plan = config.plan(num_ranks=ranks)
    assert (plan.records_per_rank, plan.batch_size, plan.batches_per_round, plan.steps_per_round) == expected
    assert plan.records_per_rank * ranks == config.prompts_per_rollout
    assert plan.batch_size * plan.batches_per_round == plan.records_per_rank * config.group_size, "every sequence once"


@pytest.mark.parametrize(
    ("settings", "ranks", "message"),
    [
        ({}, 7, r"grpo\.prompts_per_rollout is 64; allowed: a multiple of the 7 devices"),
        (
            {"micro_batch_size": 3},
            8,
            r"grpo\.micro_batch_size is 3; allowed: a multiple or a divisor of the group of 8",
        ),
        ({"micro_batch_size": 24}, 8, r"micro_batch_size is 24; allowed: as many groups as divide the 8 prompts"),
        ({"steps_per_rollout": 64}, 8, r"steps_per_rollout is 64; allowed: a divisor of the 8 prompts that each of 8"),
    ],
)
def test_what_does_not_divide_is_refused_with_what_does(settings, ranks, message):
    with pytest.raises(ConfigError, match=message):
        GRPOConfig(**settings).plan(num_ranks=ranks)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group_size": 1}, r"grpo\.group_size is 1; allowed: 2 or more"),
        ({"group_size": 7, "orders": Orders.both}, r"group_size is 7; allowed with grpo\.orders=both: an even number"),
        ({"steps_per_rollout": 7}, r"steps_per_rollout is 7; allowed: a divisor of grpo\.prompts_per_rollout \(64\)"),
        ({"rewards": {}}, r"no reward has a weight; give at least one of format, accuracy"),
        (
            {"rewards": {"format": 1.0}, "pair_consistency": 0.5},
            r"pair_consistency is 0\.5; allowed: 0 where grpo\.rew",
        ),
        ({"order_baseline": Orders.random}, r"grpo\.order_baseline is .*; allowed: both, given"),
        ({"engine": RolloutEngine.vllm, "top_p": 0.9}, r"grpo\.top_p is 0\.9; allowed: 1\.0 with grpo\.engine=vllm"),
        ({"engine": RolloutEngine.vllm_server}, r"grpo\.vllm_servers is \[\]; allowed: one or more addresses"),
        ({"importance_cap": 0.5}, r"grpo\.importance_cap is 0\.5; allowed: 1 or more"),
        ({"parity_limit": 0.9}, r"grpo\.parity_limit is 0\.9; allowed: 1 or more"),
        ({"kl": "k4"}, r"grpo\.kl is 'k4'; allowed: k1, k2, k3"),
        ({"clip_low": 1.5}, r"grpo\.clip_low is 1\.5; allowed: "),
    ],
)
def test_what_does_not_go_together_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        GRPOConfig(**settings)


def test_it_holds_a_reference_only_for_a_kl_term():
    assert GRPOConfig().holds(num_ranks=8).has_reference
    assert not GRPOConfig(kl_coef=0.0).holds(num_ranks=8).has_reference


def test_a_device_decodes_no_more_than_it_has():
    held = GRPOConfig(orders=Orders.both, batching=Batching.padded).holds(num_ranks=8)
    assert held.decoding is not None
    assert (held.group, held.is_packed, held.decoding.prompts, held.decoding.group) == (4, False, 16, 4)
    few = GRPOConfig(generation_batch_size=3).holds(num_ranks=8).decoding
    assert few is not None
    assert (few.prompts, few.group) == (3, 8)
