"""Flow-Factory: reward models by dotted path.

rewards:
  - name: urt
    reward_model: urt_core.adapters.flow_factory.WinRateReward     # or ScoreReward
    base_url: http://localhost:8000/v1                              # or only model: <judge folder>
    model: judge
    dialect: v2
    on_failure: nan
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch

from urt_core.adapters.failures import FailurePolicy, FailureTally, apply_policy
from urt_core.adapters.rewards import Rewards, score_rewards, win_rate_rewards
from urt_core.adapters.settings import scorer_from_settings
from urt_core.contracts import load_contract
from urt_core.prompts import PointContract
from urt_core.records import Task

# Flow-Factory is installed from its repository and in no package index, so no extra can name it.
INTERFACE: Any = import_module("flow_factory.rewards.abc")
OWN_SETTINGS = ("on_failure", "contract")


class ConfiguredJudge:
    """The scorer that the YAML asks for beyond Flow-Factory's own fields, and what becomes of its failures."""

    def __init__(self, config: Any, *, name: str) -> None:
        settings: Mapping[str, Any] = getattr(config, "extra_kwargs", None) or {}
        self.policy = FailurePolicy(settings.get("on_failure", FailurePolicy.NAN))
        self.contract = load_contract(settings.get("contract", PointContract.THINK), PointContract)
        self.tally = FailureTally(name=f"flow_factory {name}")
        self.scorer = scorer_from_settings({key: settings[key] for key in settings if key not in OWN_SETTINGS})

    def output(self, rewards: Rewards, groups: list[str]) -> Any:
        self.tally.add(rewards.statuses)
        values = apply_policy(rewards.values, rewards.statuses, policy=self.policy, groups=groups)
        return INTERFACE.RewardModelOutput(
            rewards=torch.tensor(values, dtype=torch.float32), extra_info={"failure_rate": self.tally.rate}
        )


class WinRateReward(INTERFACE.GroupwiseRewardModel):
    """Win rate of each sample in its group."""

    required_fields = ("prompt", "image")
    use_tensor_inputs = False
    task = Task.IMAGE_GENERATION

    def __init__(self, config: Any, accelerator: Any) -> None:
        super().__init__(config, accelerator)
        self.judge = ConfiguredJudge(config, name=type(self).__name__)

    def __call__(self, prompt: list[str], image: Any = None, video: Any = None, **kwargs: Any) -> Any:
        candidates = list(video if self.task.is_video else image)
        groups = ["group"] * len(prompt)
        rewards = win_rate_rewards(
            self.judge.scorer, task=self.task, texts=prompt, candidates=candidates, groups=groups
        )
        return self.judge.output(rewards, groups)


class VideoWinRateReward(WinRateReward):
    required_fields = ("prompt", "video")
    task = Task.VIDEO_GENERATION


class ScoreReward(INTERFACE.PointwiseRewardModel):
    """Pointwise score of each sample, from 0 to 1."""

    required_fields = ("prompt", "image")
    use_tensor_inputs = False
    task = Task.IMAGE_GENERATION

    def __init__(self, config: Any, accelerator: Any) -> None:
        super().__init__(config, accelerator)
        self.judge = ConfiguredJudge(config, name=type(self).__name__)

    def __call__(self, prompt: list[str], image: Any = None, video: Any = None, **kwargs: Any) -> Any:
        candidates = list(video if self.task.is_video else image)
        rewards = score_rewards(
            self.judge.scorer, task=self.task, texts=prompt, candidates=candidates, contract=self.judge.contract
        )
        return self.judge.output(rewards, list(prompt))


class VideoScoreReward(ScoreReward):
    required_fields = ("prompt", "video")
    task = Task.VIDEO_GENERATION
