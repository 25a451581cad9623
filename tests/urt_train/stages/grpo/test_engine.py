"""What `grpo.engine` names is opened with the run's limits: as many tokens as a prompt and a completion have together."""

from pathlib import Path

import pytest

from urt_core.engines.transformers import TransformersEngine
from urt_core.errors import EngineError
from urt_train.config import RolloutEngine
from urt_train.stages.grpo import engine as room
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.engine import rollout_engine

LIMITS = {"max_prompt_tokens": 300, "max_completion_tokens": 50, "generation_batch_size": 3, "group_size": 4}


class Opened(Exception):
    """Raised where vLLM would be started."""


def opened(policy, **settings):
    config = GRPOConfig(**LIMITS, **settings)
    return rollout_engine(config, policy, initial="initial", folder=Path("run"), dtype="bfloat16")


def test_transformers_runs_over_the_live_weights(policy):
    engine = opened(policy)
    assert isinstance(engine, TransformersEngine)
    assert engine.module is policy.model
    assert engine.batch_size == 3 * 4, "completions, where the setting counts prompts"


def test_vllm_in_the_process_has_room_for_a_batch_of_groups(policy, monkeypatch):
    seen = {}

    def of(initial, own, **how):
        seen.update(how, initial=initial)
        raise Opened

    monkeypatch.setattr(room.ColocatedVLLM, "of", of)
    with pytest.raises(Opened):
        opened(policy, engine=RolloutEngine.vllm, vllm_cache_gib=2.5, vllm_tensor_parallel=2, parity_limit=1.05)
    assert seen == {
        "initial": "initial", "max_tokens": 350, "max_sequences": 12, "cache_gib": 2.5, "tensor_parallel": 2,
        "parity_limit": 1.05, "dtype": "bfloat16",
    }  # fmt: skip


def test_servers_get_weights_through_a_folder_of_the_run(policy, monkeypatch):
    seen = {}

    def open_servers(own, servers, **how):
        seen.update(how, servers=servers)
        raise Opened

    monkeypatch.setattr(room.ServedVLLM, "open", open_servers)
    with pytest.raises(Opened):
        opened(policy, engine=RolloutEngine.vllm_server, vllm_servers=["http://a:1"], vllm_timeout_s=7.0)
    assert (seen["servers"], seen["max_tokens"], seen["in_flight"]) == (["http://a:1"], 350, 3)
    assert (seen["folder"], seen["timeout_s"], seen["dtype"]) == (Path("run/served_weights"), 7.0, "bfloat16")


@pytest.mark.parametrize(
    "settings",
    [{"engine": RolloutEngine.vllm}, {"engine": RolloutEngine.vllm_server, "vllm_servers": ["http://a:1"]}],
)
def test_a_family_that_vllm_shows_other_pictures_is_refused_before_it_starts(policy, monkeypatch, settings):
    monkeypatch.setattr(type(policy.slots), "not_in_vllm", "vLLM cuts its pictures otherwise", raising=False)
    with pytest.raises(EngineError, match=r"vLLM cuts its pictures otherwise; allowed: engine=transformers"):
        opened(policy, **settings)
