"""The spec of internalising: what it reads, writes and starts from."""

from dataclasses import replace

from urt_train.stages import StageInputs, find_stage
from urt_train.stages.internalise.config import InternaliseConfig
from urt_train.stages.internalise.module import Internalise


def test_its_spec_builds_it_and_says_what_it_reads(policy, tmp_path):
    spec, settings = find_stage("internalise"), InternaliseConfig(batch_size=4, micro_batch_size=2, replay=0.5)
    assert (spec.reads, spec.starts_from, spec.writes) == ("internalised", "grpo", ("internalised", "reasoned"))
    assert spec.mixes_in(settings) == {"reasoned": 0.5}
    assert spec.mixes_in(replace(settings, replay=0.0)) == {}
    assert spec.prepares_from(settings) == ("unlabelled|pool|train", "validation")
    assert spec.prepares_from(replace(settings, split="mine", calibrate_on=None)) == ("mine",)
    plan = settings.plan(num_ranks=2)
    assert (plan.records_per_rank, plan.batch_size, plan.batches_per_round) == (2, 4, 1)
    module = spec.build(
        StageInputs(
            policy=policy, settings=settings, plan=plan, num_steps=3, seed=0, initial="", folder=tmp_path,
            served_dtype="float32",
        )
    )  # fmt: skip
    assert isinstance(module, Internalise)
