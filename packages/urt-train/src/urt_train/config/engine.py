"""Settings of whoever computes judgements outside of training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from urt_core.engines.endpoint.profile import load_profile
from urt_core.errors import ConfigError
from urt_train.config.checks import above, at_least, fail, server_addresses

ENGINES = ("transformers", "vllm", "vllm_server", "openai")


# Without slots, so that a section can have these fields beside those of another class.
@dataclass(kw_only=True)
class EngineSettings:
    """How an engine is reached: in this process, on vLLM servers, or at an endpoint."""

    engine_options: dict[str, Any] = field(default_factory=dict)
    """Of vllm (tensor_parallel_size, data_parallel_size, gpu_memory_utilization, concurrency, ...) or of the client of openai
    (image_format, extra_body, ...)."""
    vllm_servers: list[str] = field(default_factory=list)
    """Of vllm_server: addresses of `vllm serve <the judge>`, one or many that share the work; one that fails is left out until it is healthy."""
    base_url: str | None = None
    """Of openai: address of the endpoint, such as http://localhost:8000/v1."""
    profile: str = "openai"
    """Of openai: what the endpoint wants and does, by name or as a YAML file of your own; `urt doctor` finds it."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key of the endpoint or the servers; the key itself never enters a config."""
    concurrency: int = 16
    """Requests in flight at once, of openai in all and of vllm_server at each server."""
    retries: int = 5
    """Tries of one request of openai before its pair counts as failed."""
    timeout: float = 120.0
    """Seconds until one request is given up."""
    budget_tokens: int | None = None
    """Of openai: tokens that may be spent in all, runs that were stopped included; null is no limit."""
    budget_cost: float | None = None
    """Of openai: money that may be spent in all, in the currency of the prices; null is no limit."""
    prompt_price: float = 0.0
    """Per million prompt tokens."""
    completion_price: float = 0.0
    """Per million completion tokens."""

    def check_engine(self, setting: str) -> None:
        """`setting` is the name of the field that chooses the engine."""
        kind = str(getattr(self, setting))
        if kind in ENGINES and (kind == "openai") != (self.base_url is not None):
            raise ConfigError(
                f"{self._named(setting)} is {kind} and {self._named('base_url')} is {self.base_url}; allowed: openai with the address of"
                " an endpoint, the others without"
            )
        if (kind == "vllm_server") != bool(self.vllm_servers):
            raise ConfigError(
                f"{self._named(setting)} is {kind} and {self._named('vllm_servers')} is {self.vllm_servers}; allowed: vllm_server with"
                " addresses such as http://gpu-1:8000, the others without"
            )
        if self.engine_options and kind not in ("vllm", "openai"):
            fail(self, "engine_options", f"nothing for {kind}; they are for vllm and openai")
        if (self.budget_tokens is not None or self.budget_cost is not None) and kind != "openai":
            raise ConfigError(
                f"{self._named(setting)} is {kind}, which costs nothing per token; allowed with a budget: openai"
            )
        server_addresses(self, "vllm_servers")
        load_profile(self.profile)
        at_least(self, 1, "concurrency", "retries", "budget_tokens")
        at_least(self, 0, "budget_cost", "prompt_price", "completion_price")
        above(self, 0, "timeout")

    def _named(self, name: str) -> str:
        return f"{getattr(self, 'path')}.{name}"  # noqa: B009 (each section says its own)
