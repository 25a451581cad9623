"""Settings of internalising: what is refused, and that each field changes something."""

import pytest

from urt_core.errors import ConfigError
from urt_train.cli import compose
from urt_train.config import Batching
from urt_train.stages.internalise.config import InternaliseConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"internalise\.temperature is 0\.0; allowed: a number above 0"),
        ({"temperature": 0.0}, r"allowed: a number above 0, or internalise\.num_samples=1 for one greedy vote"),
        (
            {"calibrate_on": "pool"},
            r"internalise\.calibrate_on is 'pool'; allowed: a labelled split beside unlabelled, pool, train",
        ),
        (
            {"split": "own", "calibrate_on": "own"},
            r"internalise\.calibrate_on is 'own'; allowed: a labelled split beside own,",
        ),
        ({"calibrate_on": ""}, r"internalise\.calibrate_on is ''; allowed: a labelled split"),
        ({"num_samples": 0}, r"internalise\.num_samples is 0; allowed: 1 or more"),
        ({"removal_until": 0.0}, r"internalise\.removal_until is 0\.0; allowed: a number above 0"),
        ({"removal_until": 1.5}, r"internalise\.removal_until is 1\.5; allowed: 0 to 1"),
        ({"replay": -1.0}, r"internalise\.replay is -1\.0; allowed: 0 or more"),
        ({"top_p": 0.0}, r"internalise\.top_p is 0\.0; allowed: a number above 0"),
        ({"pairs_per_task": 0}, r"internalise\.pairs_per_task is 0; allowed: 1 or more"),
        ({"judge_batch_size": 0}, r"internalise\.judge_batch_size is 0; allowed: 1 or more"),
    ],
)
def test_what_can_not_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        InternaliseConfig(**settings)


def test_one_vote_in_each_order_may_be_greedy():
    assert InternaliseConfig(num_samples=1, temperature=0.0).temperature == 0.0


def test_a_dry_run_counts_both_orders_of_a_batch_and_its_votes():
    holds = InternaliseConfig(judge_batch_size=16, num_samples=3, batching=Batching.padded).holds(num_ranks=1)
    assert (holds.group, holds.is_packed) == (2, False)
    assert holds.decoding is not None
    assert (holds.decoding.prompts, holds.decoding.group) == (32, 3)


@pytest.mark.parametrize("recipe", ["tiny_instant", "qwen3_vl_8b_instant"])
def test_recipes_of_the_stage_end_with_it(recipe):
    config = compose([f"recipe={recipe}", "stage=internalise"])
    assert config.stages[-1] == "internalise"
    assert config.stage_config is config.internalise
