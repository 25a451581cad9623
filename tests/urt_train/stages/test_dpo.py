"""The spec of DPO: it learns from the contrasts of the judged pool, from the judge that judged it."""

from pathlib import Path

from urt_train.stages import StageInputs, find_stage
from urt_train.stages.dpo import SPEC
from urt_train.stages.dpo.config import DPOConfig
from urt_train.stages.dpo.module import DPO


def test_it_reads_contrasts_and_is_in_no_recipe_that_does_not_name_it(policy):
    assert find_stage("dpo") is SPEC
    assert (SPEC.reads, SPEC.starts_from, SPEC.by_default) == ("contrasts", "rejection_sampling", False)
    assert "contrasts" in find_stage("rejection_sampling").writes
    settings = DPOConfig(batch_size=4, micro_batch_size=2)
    plan = settings.plan(num_ranks=1)
    inputs = StageInputs(
        policy=policy, settings=settings, plan=plan, num_steps=5, seed=0, initial="", folder=Path(), served_dtype=""
    )
    module = SPEC.build(inputs)
    assert isinstance(module, DPO)
    assert (module.config, module.plan, module.num_steps) == (settings, plan, 5)
