"""The spec of GRPO: rewards are tried before weights are read, and there is a reference only where the KL needs one."""

from pathlib import Path

import pytest

from urt_core import Dialect
from urt_core.errors import ConfigError, RewardError
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
        SPEC.check(settings, Dialect.V1)
    SPEC.check(GRPOConfig(), Dialect.V1)


@pytest.mark.parametrize("dialect", [Dialect.V1, Dialect.DIRECT, Dialect("general"), Dialect("pair_score")])
def test_a_confidence_that_is_not_asked_for_is_refused_before_anything_is_loaded(dialect):
    with pytest.raises(ConfigError, match=f"judge.dialect is {dialect}, which asks for none"):
        SPEC.check(GRPOConfig(rewards={"format": 1.0, "confidence": 1.0}), dialect)
    SPEC.check(GRPOConfig(rewards={"format": 1.0, "confidence": 0.0}), dialect)


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
