"""The spec of GRPO: rewards are tried before weights are read, and there is a reference only where the KL needs one."""

from pathlib import Path

import pytest

from urt_core import Dialect
from urt_core.errors import ConfigError, RewardError
from urt_train.config import Ratio
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


def per_token(inputs):
    return -inputs.needed("advantages") * inputs.policy_logprobs


def soft(inputs):
    return (per_token(inputs) + 0.1 * inputs.needed("entropy")).double()


def summed(inputs):
    return per_token(inputs).sum()


def as_column(inputs):
    return per_token(inputs)[:, None]


def as_list(inputs):
    return per_token(inputs).tolist()


def detached(inputs):
    return per_token(inputs).detach()


def not_finite(inputs):
    return per_token(inputs) * float("nan")


def steep(inputs):
    return (inputs.policy_logprobs - inputs.policy_logprobs.detach()).abs().sqrt()


def raising(inputs):
    raise KeyError("no such field")


def leaving(inputs):
    raise SystemExit(0)


def deaf(inputs):
    return -inputs.policy_logprobs


def to_values_alone(inputs):
    return inputs.advantages - inputs.policy_logprobs


def of_two(inputs, scale):
    return scale * per_token(inputs)


async def later(inputs):
    return per_token(inputs)


@pytest.mark.filterwarnings("ignore:coroutine 'later' was never awaited")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("summed", r"returned the shape \[\] for 4 tokens"),
        ("as_column", r"returned the shape \[4, 1\]"),
        ("as_list", "returned a list"),
        ("detached", "returned values without a gradient"),
        ("not_finite", r"returned \[nan, nan, nan, nan\]"),
        ("steep", r"has the gradient \[(nan|inf|-inf)"),
        ("raising", "raised KeyError: 'no such field'"),
        ("leaving", "raised SystemExit: 0"),
        ("deaf", "learns the same from any advantages, so that no reward counts"),
        ("to_values_alone", "learns the same from any advantages"),
        ("of_two", r"is of_two\(inputs, scale\)"),
        ("later", "returned a coroutine"),
        ("missing", "has no 'missing'"),
    ],
)
def test_an_objective_that_does_not_work_is_said_before_anything_is_loaded(name, said):
    path = f"{__name__}:{name}"
    with pytest.raises(ConfigError, match=said) as caught:
        SPEC.check(GRPOConfig(surrogate=path), Dialect.V1)
    assert repr(path) in str(caught.value)
    assert "expected: def surrogate(inputs: urt_kernels.SurrogateInputs) -> Tensor" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nll", "dpo"])
def test_an_objective_of_another_stage_is_none_of_this_one(name):
    with pytest.raises(ConfigError, match=rf"grpo\.surrogate is '{name}'; allowed: clip, cispo, or an import path"):
        SPEC.check(GRPOConfig(surrogate=name), Dialect.V1)
    with pytest.raises(ConfigError, match="learns the same from any advantages"):
        SPEC.check(GRPOConfig(surrogate=f"urt_kernels.surrogates:{name}"), Dialect.V1)


def by_gradient_alone(inputs):
    """Of the value 0: only what is learned depends on the advantages."""
    return per_token(inputs) - per_token(inputs).detach()


def reads_the_reference(inputs):
    return per_token(inputs) + (inputs.policy_logprobs - inputs.needed("reference_logprobs")).square()


def test_an_objective_is_tried_with_what_the_settings_give_it():
    for name in ("clip", "cispo", *(f"{__name__}:{own}" for own in ("per_token", "soft", "by_gradient_alone"))):
        for ratio in Ratio:
            SPEC.check(GRPOConfig(surrogate=name, ratio=ratio, importance_cap=2.0, kl_coef=0.0), Dialect.V1)
    path = f"{__name__}:reads_the_reference"
    SPEC.check(GRPOConfig(surrogate=path), Dialect.V1)
    with pytest.raises(ConfigError, match="reference_logprobs=None"):
        SPEC.check(GRPOConfig(surrogate=path, kl_coef=0.0), Dialect.V1)


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
