"""Judging through any OpenAI-compatible endpoint: vLLM, SGLang, LiteLLM, cloud services."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

import openai

from urt_core.engines import Completion, FinishReason, SamplingParams
from urt_core.engines.budget import Budget
from urt_core.engines.chat import ImageFormat, MalformedResponse, image_urls, read_response, request_body
from urt_core.engines.retrying import RetryPolicy, is_retried, retry_after_s
from urt_core.errors import BudgetError, ConfigError, MediaError
from urt_core.media import MediaPolicy, prompt_frames
from urt_core.prompts import Prompt
from urt_core.streaming import BACKGROUND

# The client has moved from httpx to httpx2; what its connection class derives from tells which of the two it speaks.
HTTP: Any = import_module(openai.DefaultAsyncHttpxClient.__mro__[1].__module__.split(".")[0])


# A pool looks at each of its connections for each request, so that many small pools cost less than one large one.
POOL_SIZE = 8


class Connections:
    """Clients of one event loop, and which of their connections are free."""

    def __init__(self, sizes: Mapping[openai.AsyncOpenAI, int]) -> None:
        self.clients = tuple(sizes)
        self._free: asyncio.LifoQueue[openai.AsyncOpenAI] = asyncio.LifoQueue()
        for client, size in sizes.items():
            for _ in range(size):
                self._free.put_nowait(client)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[openai.AsyncOpenAI]:
        """A client with a connection to spare, as soon as there is one."""
        client = await self._free.get()
        try:
            yield client
        finally:
            self._free.put_nowait(client)


class OpenAIEngine:
    """A judge behind an address. Whatever happens to a request, its prompt gets a completion that says so.

        engine = OpenAIEngine(base_url="http://localhost:8000/v1", model="judge", concurrency=64)
        engine = OpenAIEngine(base_url="https://example.com/v1", model="judge", api_key=key,
                              budget=Budget(max_cost=5.0, prompt_price=0.15, completion_price=0.6))

    Qwen3.5 judges want `extra_body={"chat_template_kwargs": {"enable_thinking": False}}`.
    """

    honours = frozenset({"top_logprobs", "stop", "response_format", "presence_penalty", "frequency_penalty"})
    """Sent on; an endpoint that does not know one of them says so."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        policy: MediaPolicy | None = None,
        concurrency: int = 16,
        retry: RetryPolicy | None = None,
        budget: Budget | None = None,
        image_format: ImageFormat = "png",
        accepted_models: Sequence[str] | None = None,
        max_tokens_name: str = "max_tokens",
        extra_body: Mapping[str, Any] | None = None,
        revision: str = "",
    ) -> None:
        if concurrency < 1:
            raise ConfigError(f"concurrency is {concurrency}; it must be at least 1")
        if image_format not in ("png", "jpeg"):
            raise ConfigError(f"image_format is {image_format!r}; allowed: 'png', 'jpeg'")
        self.base_url, self.served_model, self.revision = base_url, model, revision
        self.policy, self.concurrency = policy or MediaPolicy(), concurrency
        self.retry, self.budget = retry or RetryPolicy(), budget
        self.image_format: ImageFormat = image_format
        self.accepted_models = tuple(accepted_models) if accepted_models is not None else (model,)
        self.max_tokens_name, self.extra_body = max_tokens_name, dict(extra_body or {})
        # Endpoints of one's own often want none, but the client insists on a key.
        self._api_key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, Connections] = WeakKeyDictionary()
        self.num_attempts = 0
        """Requests sent, repetitions included."""

    @property
    def model(self) -> str:
        """Name and whatever else changes its answers: it is part of the cache key."""
        more = [self.revision, self.image_format, *(f"{k}={v}" for k, v in sorted(self.extra_body.items()))]
        return "@".join([self.served_model, *filter(None, more)])

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return BACKGROUND.run(self.agenerate(prompts, sampling))

    async def agenerate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return list(await asyncio.gather(*(self._answer(prompt, sampling) for prompt in prompts)))

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        connections = self._connections.pop(asyncio.get_running_loop(), None)
        for client in connections.clients if connections else ():
            await client.close()

    def close(self) -> None:
        """Close the connections of the synchronous calls."""
        BACKGROUND.run(self.aclose())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def _answer(self, prompt: Prompt, sampling: SamplingParams) -> list[Completion]:
        async with self._connection().client() as client:
            try:
                urls = await self._image_urls(prompt)
            except MediaError as error:
                return failed(FinishReason.BAD_MEDIA, str(error), sampling)
            completions: list[Completion] = []
            # A server that ignores `n` sends one choice at a time.
            while len(completions) < sampling.num_completions:
                wanted = replace(sampling, num_completions=sampling.num_completions - len(completions))
                if sampling.seed is not None:
                    wanted = replace(wanted, seed=sampling.seed + len(completions))
                body = request_body(prompt, urls, wanted, model=self.served_model, max_tokens_name=self.max_tokens_name)
                answers = await self._request(client, body | self.extra_body)
                if any(answer.finish_reason in TERMINAL for answer in answers):
                    return completions + failed(answers[0].finish_reason, answers[0].detail, wanted)
                completions += answers[: wanted.num_completions]
            return completions

    async def _request(self, client: openai.AsyncOpenAI, body: dict[str, Any]) -> list[Completion]:
        """Attempts until one succeeds, fails for good, or the policy says stop."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.retry.deadline_s
        failure = (FinishReason.TIMEOUT, "no attempt was made")
        attempt = 0
        for attempt in range(1, self.retry.max_attempts + 1):
            wait_s: float | None = None
            try:
                if self.budget:
                    self.budget.check()
                timeout = min(self.retry.attempt_timeout_s, deadline - loop.time())
                async with asyncio.timeout(timeout):
                    self.num_attempts += 1
                    response = await client.post("/chat/completions", body=body, cast_to=HTTP.Response)
                completions = read_response(response.content, accepted_models=self.accepted_models)
                if self.budget:
                    self.budget.add(completions[0].usage)
                return completions
            except BudgetError as error:
                return [Completion(text="", finish_reason=FinishReason.BUDGET, detail=str(error))]
            except (TimeoutError, openai.APITimeoutError):
                failure = (FinishReason.TIMEOUT, f"no answer within {self.retry.attempt_timeout_s:g} s")
            except openai.APIStatusError as error:
                text = self._redacted(error.response.text[:500])
                if error.status_code == 400 and "content_filter" in text:
                    return [Completion(text="", finish_reason=FinishReason.REFUSED, detail=text[:200])]
                failure = (FinishReason.HTTP_ERROR, f"HTTP {error.status_code}: {' '.join(text.split())[:200]}")
                if not is_retried(error.status_code, text):
                    break
                wait_s = retry_after_s(error.response.headers)
            except MalformedResponse as error:
                failure = (FinishReason.HTTP_ERROR, f"malformed answer, {self._redacted(str(error))}")
            except openai.APIConnectionError as error:
                cause = error.__cause__ or error
                failure = (FinishReason.HTTP_ERROR, f"no connection, {type(cause).__name__}: {cause}"[:200])
            wait_s = self.retry.delay(attempt, retry_after_s=wait_s)
            if attempt == self.retry.max_attempts or loop.time() + wait_s >= deadline:
                break
            await asyncio.sleep(wait_s)
        reason, detail = failure
        return [Completion(text="", finish_reason=reason, detail=f"{detail} (attempt {attempt})")]

    async def _image_urls(self, prompt: Prompt) -> list[list[str]]:
        if not prompt.media:
            return []
        # Decoding and encoding release the interpreter's lock; other requests go on meanwhile.
        frames = await asyncio.to_thread(prompt_frames, prompt, policy=self.policy)
        return await asyncio.to_thread(image_urls, frames, image_format=self.image_format)

    def _connection(self) -> "Connections":
        """Connections belong to an event loop; callers may have several."""
        loop = asyncio.get_running_loop()
        if loop not in self._connections:
            # Each client would read the certificates by itself.
            tls = HTTP.create_ssl_context()
            starts = range(0, self.concurrency, POOL_SIZE)
            sizes = [min(POOL_SIZE, self.concurrency - start) for start in starts]
            self._connections[loop] = Connections({self._client(size, tls): size for size in sizes})
        return self._connections[loop]

    def _client(self, size: int, tls: Any) -> openai.AsyncOpenAI:
        limits = HTTP.Limits(max_connections=size, max_keepalive_connections=size)
        return openai.AsyncOpenAI(
            base_url=self.base_url,
            api_key=self._api_key,
            max_retries=0,
            timeout=self.retry.attempt_timeout_s,
            http_client=openai.DefaultAsyncHttpxClient(limits=limits, verify=tls),
        )

    def _redacted(self, text: str) -> str:
        """Some gateways repeat the key in their error."""
        return text if self._api_key == "none" else text.replace(self._api_key, "***")


# A request that ended so has no text; asking for the remaining choices would end the same way.
TERMINAL = (FinishReason.TIMEOUT, FinishReason.HTTP_ERROR, FinishReason.BUDGET)


def failed(reason: FinishReason, detail: str, sampling: SamplingParams) -> list[Completion]:
    return [Completion(text="", finish_reason=reason, detail=detail)] * sampling.num_completions
