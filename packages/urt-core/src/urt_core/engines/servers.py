"""A judge on several vLLM servers, as one engine."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from urt_core.engines import Completion, FinishReason, SamplingParams
from urt_core.engines.endpoint.answers import excerpt
from urt_core.engines.endpoint.pool import ServerPool, are_server_addresses
from urt_core.engines.endpoint.retrying import RetryPolicy
from urt_core.engines.endpoint.transport import HTTPConnections, NoConnection
from urt_core.engines.openai import OpenAIEngine, failed
from urt_core.errors import ConfigError, EngineError, ServerError
from urt_core.media import MediaPolicy
from urt_core.prompts import Prompt
from urt_core.streaming import BACKGROUND

HEALTH_TIMEOUT_S = 10.0
LOOK_AGAIN_S = 15.0
"""Between two looks at whether a lost server has come back."""
REMEDY = "start them with `vllm serve <model folder>` (docs/serving.md)"


class JudgeServer:
    """One server: JudgeServer("http://gpu-1:8000", model="outputs/tiny/grpo/model", policy=MediaPolicy())"""

    def __init__(
        self,
        address: str,
        *,
        model: str,
        policy: MediaPolicy,
        api_key: str = "",
        in_flight: int = 32,
        timeout_s: float = 600.0,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        self.address, self.model = address.rstrip("/"), model
        # One try each: another server may do better, and the pool knows them all.
        retry = RetryPolicy(max_attempts=1, attempt_timeout_s=timeout_s, deadline_s=timeout_s)
        self.engine = OpenAIEngine(
            base_url=f"{self.address}/v1",
            model=model,
            profile="vllm",
            policy=policy,
            api_key=api_key,
            concurrency=in_flight,
            retry=retry,
            extra_body=extra_body,
        )

    def __str__(self) -> str:
        return self.address

    async def answer(self, prompt: Prompt, sampling: SamplingParams) -> list[Completion]:
        """`ServerError` where it gave none; lost, where it is not healthy either."""
        [group] = await self.engine.agenerate([prompt], sampling)
        bad = next((c for c in group if c.finish_reason in (FinishReason.TIMEOUT, FinishReason.HTTP_ERROR)), None)
        if bad is None:
            return group
        await self.check_health()
        raise ServerError(f"{self.address}: {bad.detail}")

    async def check_health(self) -> None:
        await self._get("/health")

    async def check_model(self) -> None:
        """That it is there and serves the judge under its name."""
        await self.check_health()
        try:
            names = [str(served["id"]) for served in json.loads(await self._get("/v1/models"))["data"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ServerError(f"{self.address}/v1/models: no list of models ({error})", is_lost=True) from error
        if self.model not in names:
            raise ServerError(
                f"{self.address}: serves {', '.join(names) or 'no model'}, and not {self.model}", is_lost=True
            )

    async def _get(self, path: str) -> bytes:
        where = f"{self.address}{path}"
        connections = HTTPConnections(where, headers=self.engine.headers, size=1)
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                status, _, content = await connections.request("GET", None)
        except TimeoutError as error:
            raise ServerError(f"{where}: no answer within {HEALTH_TIMEOUT_S:g} s", is_lost=True) from error
        except NoConnection as error:
            raise ServerError(f"{where}: {error}", is_lost=True) from error
        finally:
            await connections.close()
        if status != 200:
            raise ServerError(f"{where}: HTTP {status}: {excerpt(content)}", is_lost=True)
        return content


class VLLMServers:
    """Copies of one judge. A question goes to the least busy, and to another where that one fails; a server that is lost
    is left out until it is healthy again. A question that no server answers is a completion that says why.

    engine = VLLMServers.open(["http://gpu-1:8000", "http://gpu-2:8000"], model="judge", policy=MediaPolicy())
    """

    honours = OpenAIEngine.honours
    is_independent = True

    def __init__(self, servers: Sequence[JudgeServer], *, in_flight: int = 32, pause_s: float = 1.0) -> None:
        self.pool = ServerPool(servers, in_flight=in_flight, pause_s=pause_s, setting="vllm_servers", remedy=REMEDY)
        first = servers[0].engine
        self.model, self.served_model, self.policy = first.model, first.served_model, first.policy
        self.concurrency = in_flight * len(servers)
        self._looked = time.monotonic()

    @classmethod
    def open(
        cls, addresses: Sequence[str], *, model: str, policy: MediaPolicy, in_flight: int = 32, **settings: Any
    ) -> "VLLMServers":
        """Those `named`, after a `check`."""
        found = cls.named(addresses, model=model, policy=policy, in_flight=in_flight, **settings)
        found.check()
        return found

    @classmethod
    def named(
        cls, addresses: Sequence[str], *, model: str, policy: MediaPolicy, in_flight: int = 32, **settings: Any
    ) -> "VLLMServers":
        """Nobody is called yet. `settings` are those of `JudgeServer`; `ConfigError` for addresses that are none."""
        if not addresses:
            raise ConfigError("no vLLM server is named (vllm_servers); allowed: one or more, such as http://gpu-1:8000")
        if not are_server_addresses(addresses):
            raise ConfigError(
                f"vllm_servers is {', '.join(addresses)}; allowed: different addresses such as http://gpu-1:8000, without user, path or "
                "query"
            )
        servers = [JudgeServer(at, model=model, policy=policy, in_flight=in_flight, **settings) for at in addresses]
        return cls(servers, in_flight=in_flight)

    def check(self) -> None:
        """Every server must be there and serve the judge before the first question; one that is lost later, the others
        can do without. `EngineError` for servers that can't be used."""
        self.pool.on_each(lambda server: server.check_model())
        if failures := self.pool.failures:
            said = "; ".join(map(str, failures.values()))
            raise EngineError(
                f"{len(failures)} of {len(self.pool.servers)} vLLM servers (vllm_servers) can't be used: {said}; {REMEDY}"
            )

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return BACKGROUND.run(self._answers(prompts, sampling))

    async def agenerate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return await BACKGROUND.arun(self._answers(prompts, sampling))

    def close(self) -> None:
        for server in self.pool.servers:
            server.engine.close()

    async def _answers(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return list(await asyncio.gather(*(self._answer(prompt, sampling) for prompt in prompts)))

    async def _answer(self, prompt: Prompt, sampling: SamplingParams) -> list[Completion]:
        await self._look_again()
        try:
            return await self.pool.ask(lambda server: server.answer(prompt, sampling))
        except EngineError as error:
            return failed(FinishReason.HTTP_ERROR, str(error), sampling.num_completions)

    async def _look_again(self) -> None:
        """Whether lost servers have come back, now and then; those that are in use stay so meanwhile."""
        if not self.pool.failures or time.monotonic() - self._looked < LOOK_AGAIN_S:
            return
        self._looked = time.monotonic()
        for server in list(self.pool.failures):
            try:
                await server.check_model()
            except ServerError:
                continue
            self.pool.take_back(server)
