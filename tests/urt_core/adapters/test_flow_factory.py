"""Flow-Factory: reward classes by dotted path, called with keyword lists. Its interface is played here, as its
`flow_factory/rewards/abc.py` declares it: base classes that take (config, accelerator), an output with rewards and
extra_info."""

import importlib
import math
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from urt_core.adapters import settings as judge_settings


@dataclass
class RewardModelOutput:
    rewards: Any
    extra_info: Any = None


class BaseRewardModel:
    required_fields: tuple[str, ...] = ()
    use_tensor_inputs = False

    def __init__(self, config, accelerator):
        self.accelerator, self.config, self.device = accelerator, config, accelerator.device


@dataclass
class RewardArguments:
    """The fields that the base class reads, and what the YAML says beyond them."""

    device: str = "cpu"
    dtype: Any = torch.float32
    extra_kwargs: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def flow_factory(monkeypatch, scorer):
    """urt's adapter, over the played interface and the scripted judge."""
    interface = ModuleType("flow_factory.rewards.abc")
    for name in ("PointwiseRewardModel", "GroupwiseRewardModel"):
        setattr(interface, name, type(name, (BaseRewardModel,), {}))
    interface.__dict__["RewardModelOutput"] = RewardModelOutput
    for name in ("flow_factory", "flow_factory.rewards"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "flow_factory.rewards.abc", interface)
    monkeypatch.delitem(sys.modules, "urt_core.adapters.flow_factory", raising=False)
    asked = []
    monkeypatch.setattr(judge_settings, "scorer_from_settings", lambda settings: asked.append(settings) or scorer)
    module = importlib.import_module("urt_core.adapters.flow_factory")
    yield SimpleNamespace(module=module, interface=interface, asked=asked)
    sys.modules.pop("urt_core.adapters.flow_factory")


def build(flow_factory, name, **extra):
    config = RewardArguments(extra_kwargs={"model": "judge", "base_url": "http://localhost:1/v1"} | extra)
    return getattr(flow_factory.module, name)(config, SimpleNamespace(device="cpu"))


def images(*shades):
    return [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in shades]


def test_groupwise(flow_factory):
    reward = build(flow_factory, "WinRateReward")
    assert isinstance(reward, flow_factory.interface.GroupwiseRewardModel)
    assert (reward.required_fields, reward.use_tensor_inputs) == (("prompt", "image"), False)
    assert flow_factory.asked == [{"model": "judge", "base_url": "http://localhost:1/v1"}]
    # One call per group; what the sample holds besides comes along by keyword.
    output = reward(prompt=["a"] * 3, image=images(10, 200, 90), metadata="{}")
    assert output.rewards.dtype == torch.float32
    assert output.rewards.tolist() == [0.0, 1.0, 0.5]
    failed = reward(prompt=["a"] * 3, image=images(10, 200, 13))
    assert failed.rewards[:2].tolist() == [0.0, 1.0]
    assert math.isnan(failed.rewards[2].item())
    assert failed.extra_info == {"failure_rate": pytest.approx(1 / 6)}
    dropped = build(flow_factory, "WinRateReward", on_failure="drop")
    assert dropped(prompt=["a"] * 3, image=images(10, 200, 13)).rewards.tolist() == [0.0, 1.0, 0.5]


def test_pointwise(flow_factory):
    reward = build(flow_factory, "ScoreReward", contract="final_score")
    assert isinstance(reward, flow_factory.interface.PointwiseRewardModel)
    output = reward(prompt=["a", "b", "c"], image=images(0, 255, 13), condition_images=None)
    assert output.rewards[:2].tolist() == [0.0, 1.0]
    assert math.isnan(output.rewards[2].item())


def test_videos_are_lists_of_frames(flow_factory):
    videos = [images(10, 10), images(90, 90)]
    reward = build(flow_factory, "VideoWinRateReward")
    assert reward.required_fields == ("prompt", "video")
    assert reward(prompt=["a", "a"], video=videos).rewards.tolist() == [0.0, 1.0]
    assert build(flow_factory, "VideoScoreReward").task == "video_generation"
