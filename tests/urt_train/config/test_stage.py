"""What every stage has, and how its global batch divides over devices."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from urt_core.errors import ConfigError
from urt_train.config.stage import FineTuningConfig, Holds, RoundPlan


@dataclass(kw_only=True, slots=True)
class Tuning(FineTuningConfig):
    path: ClassVar[str] = "tuning"


@pytest.mark.parametrize(
    ("batch", "micro", "ranks", "records", "size", "batches"),
    [(128, 1, 8, 16, 1, 16), (128, 4, 8, 16, 4, 4), (12, 5, 2, 6, 5, 2), (4, 9, 2, 2, 2, 1), (1, 1, 1, 1, 1, 1)],
)
def test_a_global_batch_divides_over_devices_and_micro_batches(batch, micro, ranks, records, size, batches):
    plan = Tuning(batch_size=batch, micro_batch_size=micro).plan(num_ranks=ranks)
    assert plan == RoundPlan(records_per_rank=records, batch_size=size, batches_per_round=batches, steps_per_round=1)
    assert plan.batches_per_step == batches
    assert ranks * records == batch
    assert size * (batches - 1) < records <= size * batches, "no micro-batch is empty"


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ConfigError, match=r"tuning\.batch_size is 10; allowed: a multiple of the 4 devices"):
        Tuning(batch_size=10).plan(num_ranks=4)


def test_batches_of_a_step_are_those_of_a_round_divided():
    plan = RoundPlan(records_per_rank=8, batch_size=2, batches_per_round=12, steps_per_round=3)
    assert plan.batches_per_step == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": ["cooking"]}, r"tuning\.tasks is \['cooking'\]; allowed: one or more of image_generation"),
        ({"learning_rate": 0.0}, r"tuning\.learning_rate is 0\.0; allowed: a number above 0"),
        ({"learning_rate": float("inf")}, r"tuning\.learning_rate is inf; allowed: a number above 0"),
        ({"epochs": float("nan")}, r"tuning\.epochs is nan; allowed: a number above 0"),
        ({"weight_decay": -0.1}, r"tuning\.weight_decay is -0\.1; allowed: 0 or more"),
        ({"max_steps": 0}, r"tuning\.max_steps is 0; allowed: 1 or more"),
        ({"warmup_ratio": 1.1}, r"tuning\.warmup_ratio is 1\.1; allowed: "),
        ({"betas": [0.9]}, r"tuning\.betas is \[0\.9\]; allowed: two numbers, each 0 or more and below 1"),
        ({"betas": [0.9, 1.0]}, r"tuning\.betas is \[0\.9, 1\.0\]"),
        ({"batch_size": 0}, r"tuning\.batch_size is 0; allowed: 1 or more"),
        ({"keep_checkpoints": 0}, r"tuning\.keep_checkpoints is 0; allowed: 1 or more"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Tuning(**settings)


def test_fine_tuning_holds_nothing_beside_the_policy():
    assert Tuning().holds(num_ranks=1) == Holds(group=1, is_packed=False, has_reference=False, decoding=None)
