"""The engine that a config names: what of its settings reaches it, and that it is closed."""

import json
import os

import pytest

from urt_core.engines import traits
from urt_core.engines.endpoint.budget import Budget
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint
from urt_core.errors import EngineError
from urt_core.media import MediaPolicy
from urt_train.config import EvaluationConfig
from urt_train.model import judging
from urt_train.model.judging import open_engine, opened_engine

POLICY = MediaPolicy(min_pixels=64, max_pixels=4096, num_frames=2)


def test_an_endpoint_has_its_profile_its_key_its_retries_and_its_budget(monkeypatch):
    monkeypatch.setenv("MY_KEY", " secret-of-mine ")
    settings = EvaluationConfig(
        engine="openai",
        base_url="http://localhost:1/v1",
        profile="openai-reasoning",
        api_key_env="MY_KEY",
        concurrency=3,
        retries=2,
        timeout=7.0,
        budget_cost=5.0,
        prompt_price=1.0,
        completion_price=2.0,
        engine_options={"image_format": "jpeg"},
    )
    engine = open_engine(settings, "openai", "judge", policy=POLICY, dtype="float32")
    assert engine.profile.name == "openai-reasoning"  # pyright: ignore[reportAttributeAccessIssue]
    assert engine.headers == {"Authorization": "Bearer secret-of-mine"}  # pyright: ignore[reportAttributeAccessIssue]
    assert (engine.retry.max_attempts, engine.retry.attempt_timeout_s) == (2, 7.0)  # pyright: ignore[reportAttributeAccessIssue]
    assert traits(engine).concurrency == 3
    assert traits(engine).policy == POLICY
    budget = traits(engine).budget
    assert budget is not None
    assert (budget.max_cost, budget.prompt_price, budget.completion_price) == (5.0, 1.0, 2.0)
    assert "jpeg" in engine.model
    assert Budget.of(EvaluationConfig()) is None


def test_servers_are_looked_at_before_the_first_question():
    models = json.dumps({"data": [{"id": "another"}]}).encode()
    with ScriptedEndpoint(script=lambda request: Reply(body=models)) as endpoint:
        settings = EvaluationConfig(engine="vllm_server", vllm_servers=[endpoint.base_url.removesuffix("/v1")])
        with pytest.raises(EngineError, match="serves another, and not judge"):
            open_engine(settings, "vllm_server", "judge", policy=POLICY, dtype="float32")


def test_vllm_of_each_process_has_devices_of_its_own_and_is_closed(monkeypatch):
    seen = {}

    class Engine:
        model = "judge"

        def generate(self, prompts, sampling):
            return []

        def close(self):
            seen["closed"] = True

    def load_engine(model, **settings):
        seen.update(settings["options"], devices=os.environ.get("CUDA_VISIBLE_DEVICES"))
        return Engine()

    monkeypatch.setattr(judging, "load_engine", load_engine)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    options = {"tensor_parallel_size": 2, "data_parallel_size": 2}
    settings = EvaluationConfig(engine="vllm", engine_options=options)
    with opened_engine(settings, "vllm", "judge", policy=POLICY, dtype="bfloat16"):
        assert "closed" not in seen
    assert seen == {"dtype": "bfloat16", **options, "devices": "4,5,6,7", "closed": True}
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
