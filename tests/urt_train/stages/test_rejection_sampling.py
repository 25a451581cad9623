"""The spec of rejection sampling: when the pool is judged, which splits that reads, and how fitting is the cold start's."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from urt_train.stages import StageInputs, find_stage
from urt_train.stages.cold_start.module import ColdStart
from urt_train.stages.rejection_sampling import SPEC, prepare
from urt_train.stages.rejection_sampling.config import RejectionSamplingConfig
from urt_train.stages.spec import Preparation


@pytest.mark.parametrize(
    ("given", "is_judged"), [((), True), (("accepted",), True), (("hard",), True), (("accepted", "hard"), False)]
)
def test_the_pool_is_judged_unless_the_user_names_both_shards_that_come_of_it(monkeypatch, given, is_judged):
    judged = []
    monkeypatch.setattr("urt_train.stages.rejection_sampling.pool.judge_pool", judged.append)
    preparation = Mock(spec=Preparation, is_given=lambda split: split in given)
    prepare(preparation)
    assert judged == ([preparation] if is_judged else [])


def test_it_prepares_from_the_split_it_judges_and_from_traces_where_they_are_mixed_in():
    assert find_stage("rejection_sampling") is SPEC
    assert SPEC.prepares_from(RejectionSamplingConfig()) == ("pool|train",)
    assert SPEC.prepares_from(RejectionSamplingConfig(split="mine", replay=0.25)) == ("mine", "cold_start")
    assert SPEC.mixes_in(RejectionSamplingConfig(replay=0.25)) == {"cold_start": 0.25}
    assert SPEC.mixes_in(RejectionSamplingConfig()) == {}
    assert (SPEC.reads, SPEC.starts_from) == ("accepted", "cold_start")
    assert set(SPEC.writes) == {"accepted", "hard", "contrasts"}


def test_fitting_is_imitation_of_the_accepted(policy):
    settings = RejectionSamplingConfig(batch_size=4, micro_batch_size=2)
    plan = settings.plan(num_ranks=1)
    inputs = StageInputs(
        policy=policy, settings=settings, plan=plan, num_steps=3, seed=0, initial="", folder=Path(), served_dtype=""
    )
    module = SPEC.build(inputs)
    assert isinstance(module, ColdStart)
    assert (module.config, module.num_steps) == (settings, 3)
