"""Settings of judging the pool."""

import pytest

from urt_core.errors import ConfigError
from urt_train.config.choices import Orders
from urt_train.stages.rejection_sampling import mixes_in, prepares_from
from urt_train.stages.rejection_sampling.config import RejectionSamplingConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"orders": Orders.both}, r"rejection_sampling\.orders is .*both.*; allowed: given, random"),
        ({"num_samples": 0}, r"rejection_sampling\.num_samples is 0; allowed: 1 or more"),
        ({"hard_below": 0.0}, r"rejection_sampling\.hard_below is 0\.0; allowed: a number above 0"),
        ({"hard_below": 1.5}, r"rejection_sampling\.hard_below is 1\.5; allowed: "),
        ({"top_p": 0.0}, r"rejection_sampling\.top_p is 0\.0; allowed: a number above 0"),
        ({"replay": -0.5}, r"rejection_sampling\.replay is -0\.5; allowed: 0 or more"),
        ({"pool_per_task": 0}, r"rejection_sampling\.pool_per_task is 0; allowed: 1 or more"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        RejectionSamplingConfig(**settings)


def test_the_pool_is_judged_and_traces_come_back_only_where_that_is_said():
    plain, replayed = RejectionSamplingConfig(), RejectionSamplingConfig(split="mine", replay=0.25)
    assert (prepares_from(plain), mixes_in(plain)) == (("pool|train",), {})
    assert (prepares_from(replayed), mixes_in(replayed)) == (("mine", "cold_start"), {"cold_start": 0.25})


def test_a_device_decodes_a_batch_of_pairs_before_training():
    decoding = RejectionSamplingConfig(judge_batch_size=5, num_samples=4).holds(num_ranks=1).decoding
    assert decoding is not None
    assert (decoding.prompts, decoding.group, decoding.beside_training) == (5, 4, False)
