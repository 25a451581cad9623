"""vLLM servers over HTTP: one of them, and several that share the work."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from urt_core.engines.endpoint.answers import excerpt
from urt_core.engines.endpoint.transport import HTTPConnections, NoConnection, checked_key
from urt_core.engines.retrying import is_retried
from urt_core.errors import EngineError
from urt_core.streaming import BACKGROUND
from urt_train.errors import ServerError

T = TypeVar("T")
LOG = logging.getLogger(__name__)
HEALTH_TIMEOUT_S = 10.0
# A group of 64 completions of 32,768 tokens with ids and log-probs is about so much.
MAX_ANSWER_BYTES = 512 << 20
REMEDY = 'docs/training.md, "vLLM servers", has the command that starts one'


class VLLMServer:
    """The one place that sends requests, and only to `address`: no redirect is followed, no proxy of the environment
    used.

    server = VLLMServer("http://gpu-1:8000", api_key=os.environ.get("VLLM_API_KEY", ""), timeout_s=600)
    await server.call("GET", "/v1/models")
    """

    def __init__(self, address: str, *, api_key: str = "", timeout_s: float = 600.0) -> None:
        self.address, self.timeout_s = address, timeout_s
        self.model = ""
        key = checked_key(api_key, name="the environment variable VLLM_API_KEY")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def __repr__(self) -> str:
        return self.address

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """The JSON object of an answer with status 200 (empty where it has no body); everything else is a
        `ServerError`.

        `body` is JSON, as an object or written already.
        """
        where, timeout_s = f"{self.address}{path}", timeout_s or self.timeout_s
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        url = f"{where}?{urlencode(params)}" if params else where
        # A connection kept from before a server was restarted would fail, and the server count as lost.
        connections = HTTPConnections(url, headers=self._headers, size=1, max_bytes=MAX_ANSWER_BYTES)
        try:
            async with asyncio.timeout(timeout_s):
                status, _, text = await connections.request(method, sent)
        except TimeoutError as error:
            raise ServerError(f"{where}: no answer within {timeout_s:g} s", is_lost=True) from error
        except NoConnection as error:
            raise ServerError(f"{where}: {error}", is_lost=True) from error
        finally:
            await connections.close()
        if status != 200:
            raise ServerError(
                f"{where}: HTTP {status}: {excerpt(text)}{_hint(status, path)}",
                is_final=not is_retried(status, text[:2000].decode("utf-8", "replace")),
            )
        try:
            value = json.loads(text or b"{}")
        except (ValueError, RecursionError) as error:
            raise ServerError(f"{where}: not JSON ({error}): {excerpt(text)}") from error
        if not isinstance(value, dict):
            raise ServerError(f"{where}: JSON, but no object: {excerpt(text)}")
        return value

    async def check_settings(self, *, num_tokens: int, rare_token: int) -> None:
        """That it is there, may be handed weights, is long enough, and gives the log-probs it samples from."""
        await self.check_health()
        await self.call("GET", "/is_paused", timeout_s=HEALTH_TIMEOUT_S)
        models = (await self.call("GET", "/v1/models", timeout_s=HEALTH_TIMEOUT_S)).get("data")
        served = models[0] if isinstance(models, list) and models else None
        if not isinstance(served, dict) or not isinstance(served.get("id"), str):
            raise ServerError(f"{self.address}/v1/models: names no model")
        self.model = served["id"]
        if (limit := served.get("max_model_len")) is not None and limit < num_tokens:
            raise ServerError(
                f"{self.address}: --max-model-len is {limit}; grpo.max_prompt_tokens + grpo.max_completion_tokens is {num_tokens}"
            )
        await self._check_logprobs(rare_token)

    async def _check_logprobs(self, rare_token: int) -> None:
        """A token that is all but forced is likely under the distribution sampled from, and rare under the model's
        own."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": "?"}],
            "max_completion_tokens": 1,
            "temperature": 1.0,
            "logprobs": True,
            "logit_bias": {str(rare_token): 100},
        }
        answer = await self.call("POST", "/v1/chat/completions", body=body)
        try:
            logprob = answer["choices"][0]["logprobs"]["content"][0]["logprob"]
        except (KeyError, IndexError, TypeError) as error:
            raise ServerError(f"{self.address}: an answer without log-probs: {str(answer)[:200]}") from error
        if not logprob > -1.0:
            raise ServerError(f"{self.address}: started without --logprobs-mode processed_logprobs")

    async def check_health(self) -> None:
        await self.call("GET", "/health", timeout_s=min(HEALTH_TIMEOUT_S, self.timeout_s))

    async def pause(self) -> None:
        """No request may run on weights of two kinds; what a broken connection left behind is aborted."""
        await self.call("POST", "/pause", params={"mode": "abort"})

    async def forget_and_resume(self) -> None:
        """Drop all that was computed with older weights: key-value blocks, image features, and processed images with
        them."""
        await self.call("POST", "/reset_encoder_cache")
        await self.call("POST", "/reset_mm_cache")
        if (await self.call("POST", "/reset_prefix_cache")).get("success") is not True:
            raise ServerError(f"{self.address}/reset_prefix_cache: blocks of older weights are still held")
        await self.call("POST", "/resume")


class ServerPool:
    """Servers with the same weights. A request goes to the least busy of them, and to another where that one fails.

    pool = ServerPool([VLLMServer("http://gpu-1:8000"), VLLMServer("http://gpu-2:8000")], in_flight=32)
    answer = await pool.ask(lambda server: server.call("POST", "/v1/chat/completions", body=body))
    """

    def __init__(
        self, servers: Sequence[VLLMServer], *, in_flight: int, tries_per_server: int = 2, pause_s: float = 1.0
    ) -> None:
        self.servers = tuple(servers)
        self.usable = list(servers)
        """Those that hold the weights of now; a lost one comes back with the next hand-over, once it is healthy."""
        self.in_flight, self.tries_per_server, self.pause_s = in_flight, tries_per_server, pause_s
        self.failures: dict[VLLMServer, ServerError] = {}
        """The last failure of each server that is not usable."""
        self._busy: Counter[VLLMServer] = Counter()
        self._changed = asyncio.Condition()

    async def ask(self, send: Callable[[VLLMServer], Awaitable[T]]) -> T:
        tries: Counter[VLLMServer] = Counter()
        failures: list[ServerError] = []
        while (server := await self._free_server(tries)) is not None:
            try:
                if tries[server]:
                    await asyncio.sleep(self.pause_s)
                tries[server] += 1
                return await send(server)
            except ServerError as error:
                if error.is_final:
                    raise
                failures.append(error)
                if error.is_lost:
                    self.lose(server, error)
            finally:
                self._busy[server] -= 1
                async with self._changed:
                    self._changed.notify_all()
        raise self.none_left(failures)

    async def _free_server(self, tries: Counter[VLLMServer]) -> VLLMServer | None:
        """The least busy of those that were tried least; waits while they are full. None where all have been tried
        enough."""
        async with self._changed:
            while True:
                left = [server for server in self.usable if tries[server] < self.tries_per_server]
                if not left:
                    return None
                fewest = min(tries[server] for server in left)
                free = [s for s in left if tries[s] == fewest and self._busy[s] < self.in_flight]
                if free:
                    server = min(free, key=self._busy.__getitem__)
                    self._busy[server] += 1
                    return server
                await self._changed.wait()

    def on_each(self, call: Callable[[VLLMServer], Awaitable[T]]) -> dict[VLLMServer, T]:
        """The call on all usable servers at once; one that fails is lost."""
        asked = tuple(self.usable)

        async def all_calls() -> list[T | BaseException]:
            return await asyncio.gather(*(call(server) for server in asked), return_exceptions=True)

        answers: dict[VLLMServer, T] = {}
        for server, answer in zip(asked, BACKGROUND.run(all_calls()), strict=True):
            if isinstance(answer, ServerError):
                self.lose(server, answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                answers[server] = answer
        return answers

    def lose(self, server: VLLMServer, error: ServerError) -> None:
        if server in self.usable:
            self.usable.remove(server)
            LOG.warning("%s is left out until the next hand-over of weights: %s", server, error)
        self.failures[server] = error

    def revive(self) -> None:
        """All servers that are healthy now, those lost before included."""
        self.usable = list(self.servers)
        self.failures = {}
        self.on_each(lambda server: server.check_health())

    def none_left(self, failures: Sequence[ServerError] = ()) -> EngineError:
        said = "; ".join(dict.fromkeys(map(str, [*failures, *self.failures.values()])))
        return EngineError(
            f"no vLLM server is left of {', '.join(map(str, self.servers))} (grpo.vllm_servers): {said or 'none was asked'}. {REMEDY};"
            " the last checkpoint is good, and the same command goes on from it"
        )


def _hint(status: int, path: str) -> str:
    if status in (401, 403):
        return " (the key of the server belongs into the environment variable VLLM_API_KEY)"
    if status == 404 and not path.startswith("/v1"):
        return " (start the server with VLLM_SERVER_DEV_MODE=1)"
    return ""
