"""Stage 3: reinforce what earns more reward than its group (arXiv 2505.03318, GRPO; arXiv 2402.03300)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urt_core.contracts import contract_of
from urt_core.errors import ConfigError
from urt_core.prompts.prompt import Dialect
from urt_core.rewards import Rewards
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.spec import StageInputs, StageSpec

if TYPE_CHECKING:
    from urt_train.stages.grpo.module import GRPO


def check(settings: GRPOConfig, dialect: Dialect) -> None:
    """Calls each reward and the objective once, so that a wrong one ends the run before weights are read and rollouts
    are paid for."""
    from urt_train.stages.grpo.objective import try_out  # imports torch

    Rewards.load(settings.rewards).try_out()
    try_out(settings)
    if settings.rewards.get("confidence") and not contract_of(dialect).states_confidence:
        raise ConfigError(
            f"grpo.rewards has confidence and judge.dialect is {dialect}, which asks for none: every completion would earn -1; allowed:"
            " a contract whose verdicts state one, such as examples/confidence_reward.py"
        )


def build(inputs: StageInputs) -> GRPO:
    from urt_train.stages.grpo.engine import rollout_engine
    from urt_train.stages.grpo.module import GRPO

    settings, policy = inputs.settings, inputs.policy
    return GRPO(
        policy,
        settings,
        engine=rollout_engine(
            settings, policy, initial=inputs.initial, folder=inputs.folder, dtype=inputs.served_dtype
        ),
        reference=policy.reference() if settings.kl_coef else None,
        plan=inputs.plan,
        num_steps=inputs.num_steps,
        seed=inputs.seed,
    )


SPEC = StageSpec(
    name="grpo",
    title="GRPO",
    config=GRPOConfig,
    starts_from="rejection_sampling",
    reads="hard",
    samples=True,
    needs_a_winner=True,
    check=check,
    by_default=True,
    build=build,
)
