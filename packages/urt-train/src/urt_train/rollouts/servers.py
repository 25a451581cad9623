"""A vLLM server over HTTP, as the trainer that hands it weights speaks to it."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

from urt_core.engines.endpoint.answers import excerpt
from urt_core.engines.endpoint.retrying import is_retried
from urt_core.engines.endpoint.transport import HTTPConnections, NoConnection, checked_key
from urt_core.errors import ServerError

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


def _hint(status: int, path: str) -> str:
    if status in (401, 403):
        return " (the key of the server belongs into the environment variable VLLM_API_KEY)"
    if status == 404 and not path.startswith("/v1"):
        return " (start the server with VLLM_SERVER_DEV_MODE=1)"
    return ""
