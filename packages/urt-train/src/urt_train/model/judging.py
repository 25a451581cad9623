"""The engine that a section of the config names for judging, beside transformers over a policy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from urt_core.engines import AsyncEngine, Engine, close_engine
from urt_core.engines.endpoint.budget import Budget
from urt_core.engines.endpoint.retrying import RetryPolicy
from urt_core.engines.endpoint.transport import read_key
from urt_core.judges.pretrained import load_engine
from urt_core.judging.workers import own_devices
from urt_core.media import MediaPolicy
from urt_train.config.engine import EngineSettings


@contextmanager
def opened_engine(
    settings: EngineSettings, kind: str, model: str, *, policy: MediaPolicy, dtype: str
) -> Iterator[Engine | AsyncEngine]:
    """vllm, vllm_server or openai, closed behind it. Of several processes on a machine each has vLLM on devices of its
    own."""
    engine = open_engine(settings, kind, model, policy=policy, dtype=dtype)
    try:
        yield engine
    finally:
        close_engine(engine)


def open_engine(
    settings: EngineSettings, kind: str, model: str, *, policy: MediaPolicy, dtype: str
) -> Engine | AsyncEngine:
    if kind == "vllm":
        options = {"dtype": dtype, **settings.engine_options}
        devices = options.get("tensor_parallel_size", 1) * options.get("data_parallel_size", 1)
        with own_devices(num_devices=devices):
            return load_engine(model, kind="vllm", policy=policy, options=options)
    key = read_key(settings.api_key_env)
    if kind == "vllm_server":
        servers: dict[str, Any] = {
            "vllm_servers": settings.vllm_servers,
            "api_key": key,
            "in_flight": settings.concurrency,
            "timeout_s": settings.timeout,
        }
        return load_engine(model, kind="vllm_server", policy=policy, options=servers)
    assert kind == "openai", kind
    deadline = settings.timeout * settings.retries
    options: dict[str, Any] = {
        "profile": settings.profile,
        "api_key": key,
        "concurrency": settings.concurrency,
        "retry": RetryPolicy(max_attempts=settings.retries, attempt_timeout_s=settings.timeout, deadline_s=deadline),
        "budget": Budget.of(settings),
    }
    return load_engine(
        model, kind="vllm", policy=policy, base_url=settings.base_url, options={**options, **settings.engine_options}
    )
