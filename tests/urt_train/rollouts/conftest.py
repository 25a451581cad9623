"""Two servers that stand in for vLLM, and the engine that asks them."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.urt_train.fake_vllm import FakeVLLM
from urt_core.engines.scripted_endpoint import ScriptedEndpoint
from urt_train.config import RolloutEngine
from urt_train.model.policy import Policy
from urt_train.rollouts.served import ServedVLLM
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.engine import open_served


@pytest.fixture
def fakes(tiny_folder, spec) -> list[FakeVLLM]:
    return [FakeVLLM(Policy.from_pretrained(tiny_folder, spec=spec)) for _ in range(2)]


@pytest.fixture
def addresses(fakes) -> Iterator[list[str]]:
    with ExitStack() as stack:
        endpoints = [stack.enter_context(ScriptedEndpoint(script=fake)) for fake in fakes]
        yield [endpoint.base_url.removesuffix("/v1") for endpoint in endpoints]


@pytest.fixture
def config(addresses) -> GRPOConfig:
    return GRPOConfig(
        engine=RolloutEngine.vllm_server,
        vllm_servers=addresses,
        vllm_timeout_s=20,
        prompts_per_rollout=2,
        group_size=4,
        micro_batch_size=4,
        generation_batch_size=2,
        max_completion_tokens=6,
        max_prompt_tokens=1000,
        parity_every=1,
    )


@pytest.fixture
def engine(policy, config, tmp_path) -> ServedVLLM:
    served = open_served(config, policy, folder=tmp_path / "weights")
    served.pool.pause_s = 0.01
    return served
