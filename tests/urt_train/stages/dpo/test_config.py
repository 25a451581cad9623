"""DPO counts pairs, which are two sequences each."""

import pytest

from urt_core.errors import ConfigError
from urt_train.config.choices import Batching
from urt_train.stages.dpo.config import DPOConfig


@pytest.mark.parametrize(
    ("batch", "micro", "ranks", "sequences", "batches"), [(128, 1, 8, 2, 16), (12, 4, 2, 8, 2), (2, 9, 1, 4, 1)]
)
def test_a_micro_batch_holds_two_sequences_of_each_pair(batch, micro, ranks, sequences, batches):
    plan = DPOConfig(batch_size=batch, micro_batch_size=micro).plan(num_ranks=ranks)
    assert (plan.records_per_rank * ranks, plan.batch_size, plan.batches_per_step) == (batch, sequences, batches)


def test_it_holds_a_reference_and_shares_prompts_where_it_is_told():
    assert DPOConfig().holds(num_ranks=1).has_reference
    shares = [DPOConfig(batching=batching).holds(num_ranks=1).is_packed for batching in Batching]
    assert dict(zip(Batching, shares, strict=True)) == {Batching.padded: False, Batching.shared_prefix: True}


@pytest.mark.parametrize("beta", [0.0, -0.1, float("nan")])
def test_beta_is_above_zero(beta):
    with pytest.raises(ConfigError, match=r"dpo\.beta is .*; allowed: a number above 0"):
        DPOConfig(beta=beta)
