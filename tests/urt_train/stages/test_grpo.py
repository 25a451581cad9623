"""The spec of GRPO: rewards are tried before weights are read, and there is a reference only where the KL needs one."""

from pathlib import Path

import pytest

from urt_core.errors import RewardError
from urt_train.stages import StageInputs, find_stage
from urt_train.stages.grpo import SPEC
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.module import GRPO


def fails(sample) -> float:
    raise KeyError("no such field")


def says_too_much(sample) -> str:
    return "good"


@pytest.mark.parametrize(("name", "said"), [("fails", "no such field"), ("says_too_much", "str")])
def test_a_reward_that_does_not_work_is_said_before_anything_is_loaded(name, said):
    settings = GRPOConfig(rewards={f"{__name__}:{name}": 1.0})
    with pytest.raises(RewardError, match=said):
        SPEC.check(settings)
    SPEC.check(GRPOConfig())


@pytest.mark.parametrize("kl_coef", [0.0, 0.04])
def test_it_is_built_over_the_live_weights_with_a_reference_for_the_kl_alone(policy, kl_coef):
    assert find_stage("grpo") is SPEC
    assert (SPEC.reads, SPEC.starts_from, SPEC.samples, SPEC.needs_a_winner) == (
        "hard", "rejection_sampling", True, True,
    )  # fmt: skip
    settings = GRPOConfig(prompts_per_rollout=4, group_size=2, micro_batch_size=2, kl_coef=kl_coef)
    inputs = StageInputs(
        policy=policy,
        settings=settings,
        plan=settings.plan(num_ranks=1),
        num_steps=3,
        seed=5,
        initial="",
        folder=Path(),
        served_dtype="float32",
    )
    module = SPEC.build(inputs)
    assert isinstance(module, GRPO)
    assert (module.num_steps, module.seed, len(module.references)) == (3, 5, int(kl_coef > 0))
