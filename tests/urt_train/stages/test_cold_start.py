"""The spec of the cold start: what it reads, and what it is built from."""

from pathlib import Path

from urt_train.stages import StageInputs, find_stage
from urt_train.stages.cold_start import SPEC
from urt_train.stages.cold_start.config import ColdStartConfig
from urt_train.stages.cold_start.module import ColdStart


def test_it_reads_traces_and_starts_from_the_base(policy):
    assert find_stage("cold_start") is SPEC
    assert (SPEC.reads, SPEC.starts_from, SPEC.writes, SPEC.needs_a_winner) == ("cold_start", None, (), False)
    settings = ColdStartConfig(batch_size=8, micro_batch_size=2)
    plan = settings.plan(num_ranks=2)
    inputs = StageInputs(
        policy=policy, settings=settings, plan=plan, num_steps=7, seed=0, initial="", folder=Path(), served_dtype=""
    )
    module = SPEC.build(inputs)
    assert isinstance(module, ColdStart)
    assert (module.policy, module.config, module.plan, module.num_steps) == (policy, settings, plan, 7)
    assert (plan.records_per_rank, plan.batch_size, plan.batches_per_round) == (4, 2, 2)
