"""Judging through any OpenAI-compatible endpoint: vLLM, SGLang, LiteLLM, Ollama, cloud services."""

import asyncio
import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from urt_core.engines import Completion, FinishReason, SamplingParams, Usage
from urt_core.engines.chat import image_format_name, request_body
from urt_core.engines.endpoint.answers import UnreadableAnswer, read_answer
from urt_core.engines.endpoint.budget import Budget
from urt_core.engines.endpoint.pictures import Pictures
from urt_core.engines.endpoint.profile import Profile, load_profile
from urt_core.engines.endpoint.refusal import read_refusal
from urt_core.engines.endpoint.retrying import RetryPolicy, is_retried, retry_after_s
from urt_core.engines.endpoint.transport import (
    ClientConnections,
    Connections,
    HTTPConnections,
    NoConnection,
    abandon,
    checked_key,
    checked_url,
    proxy_for,
)
from urt_core.errors import BudgetError, ConfigError, MediaError
from urt_core.media import MediaPolicy
from urt_core.prompts import Prompt
from urt_core.streaming import BACKGROUND


@dataclass(slots=True)
class Session:
    """What belongs to one event loop."""

    connections: Connections
    pictures: Pictures
    slots: asyncio.Semaphore
    """One for each prompt that is being answered."""

    async def close(self) -> None:
        await self.connections.close()


class OpenAIEngine:
    """A judge behind an address. Whatever happens to a request, its prompt gets a completion that says so.

        engine = OpenAIEngine(base_url="http://localhost:8000/v1", model="judge", concurrency=64)
        engine = OpenAIEngine(base_url="https://example.com/v1", model="judge", profile="openai-reasoning", api_key=key,
                              budget=Budget(max_cost=5.0, prompt_price=0.15, completion_price=0.6))

    `profile` is the kind of endpoint (`urt_core.engines.endpoint.profile`); `max_tokens_name`, `leave_out`,
    `accepted_models` and `extra_body` change single fields of it. `client` is an `openai.AsyncOpenAI` of one's own, for
    what only that client can do.
    """

    honours = frozenset({"top_logprobs", "stop", "response_format", "presence_penalty", "frequency_penalty"})
    """Sent on; an endpoint that does not know one of them says so."""
    gives_logprobs = False
    is_independent = True

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        profile: str | Profile = "openai",
        policy: MediaPolicy | None = None,
        concurrency: int = 16,
        retry: RetryPolicy | None = None,
        budget: Budget | None = None,
        image_format: str = "png",
        accepted_models: Sequence[str] | None = None,
        max_tokens_name: str | None = None,
        leave_out: Sequence[str] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        revision: str = "",
        client: Any = None,
    ) -> None:
        if not isinstance(concurrency, int) or concurrency < 1:
            raise ConfigError(f"concurrency is {concurrency}; it must be at least 1")
        self.base_url, self.served_model, self.revision = base_url, model, revision
        self.url = checked_url(base_url)
        self.policy, self.concurrency = policy or MediaPolicy(), concurrency
        self.retry, self.budget = retry or RetryPolicy(), budget
        self.image_format = image_format_name(image_format)
        self.profile = load_profile(profile).changed(
            accepted_models=accepted_models, max_tokens_name=max_tokens_name, leave_out=leave_out, extra_body=extra_body
        )
        self.max_n = self.profile.max_n
        """Completions a request may ask for; 1 from the first time on that the endpoint refuses more. None: any
        number."""
        self.num_attempts = 0
        """Requests sent, repetitions included."""
        self._client = client
        # Endpoints of one's own often want none; the empty key sends none, whatever the environment holds.
        self.headers = key_headers(self.profile, api_key)
        self._sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Session] = weakref.WeakKeyDictionary()
        weakref.finalize(self, abandon, self._sessions)

    @property
    def model(self) -> str:
        """Name and whatever else changes its answers: it is part of the cache key."""
        return "@".join(filter(None, [self.served_model, self.revision, self.image_format, *self.profile.identity]))

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return BACKGROUND.run(self.agenerate(prompts, sampling))

    async def agenerate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return list(await asyncio.gather(*(self._answer(prompt, sampling) for prompt in prompts)))

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        if session := self._sessions.pop(asyncio.get_running_loop(), None):
            await session.close()

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
        session = self._session()
        async with session.slots:
            try:
                pictures = [await session.pictures.parts(media) for media in prompt.media]
            except MediaError as error:
                return failed(FinishReason.BAD_MEDIA, str(error), sampling.num_completions)
            completions: list[Completion] = []
            # A server that ignores or refuses `n` sends one choice at a time.
            while (missing := sampling.num_completions - len(completions)) > 0:
                wanted = self._part(sampling, num_done=len(completions), missing=missing)
                body = request_body(prompt, pictures, wanted, model=self.served_model, profile=self.profile)
                answers = await self._request(session, body, wanted)
                if any(answer.finish_reason in TERMINAL for answer in answers):
                    reason, detail = answers[0].finish_reason, answers[0].detail
                    return completions + failed(reason, detail, missing, usage=answers[0].usage)
                completions += answers
            return completions

    def _part(self, sampling: SamplingParams, *, num_done: int, missing: int) -> SamplingParams:
        """What the next request asks for: as many of the missing completions as the endpoint takes, with seeds
        apart."""
        num = min(missing, self.max_n or missing)
        if num == sampling.num_completions:
            return sampling
        seed = None if sampling.seed is None else sampling.seed + num_done
        return replace(sampling, num_completions=num, seed=seed)

    async def _request(self, session: Session, body: bytes, sampling: SamplingParams) -> list[Completion]:
        """Attempts until one succeeds, fails for good, or the policy says stop. None at all where `n` turns out to be
        refused."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.retry.deadline_s
        failure, paid, attempt = (FinishReason.TIMEOUT, "no attempt was made"), Usage(), 0
        for attempt in range(1, self.retry.max_attempts + 1):
            wait_s: float | None = None
            try:
                if self.budget:
                    self.budget.check()
                async with asyncio.timeout(min(self.retry.attempt_timeout_s, deadline - loop.time())):
                    self.num_attempts += 1
                    reply = await session.connections.post(body)
                if reply.status == 200:
                    completions = self._read(reply.content, reply.headers.get("Content-Type", ""), sampling)
                    paid = self._pay(paid, completions[0].usage)
                    return [replace(completions[0], usage=paid), *completions[1:]]
                refusal = read_refusal(reply, sent=sampling, profile=self.profile, base_url=self.base_url)
                if refusal.refuses_n:
                    self.max_n = 1
                    return []
                failure = (refusal.reason, refusal.detail)
                if not is_retried(reply.status, refusal.text):
                    break
                wait_s = retry_after_s(reply.headers)
            except BudgetError as error:
                failure = (FinishReason.BUDGET, str(error))
                break
            except TimeoutError:
                failure = (FinishReason.TIMEOUT, f"no answer within {self.retry.attempt_timeout_s:g} s")
            except UnreadableAnswer as error:
                paid = self._pay(paid, error.usage)
                failure = (FinishReason.HTTP_ERROR, f"malformed answer, {error}")
                if not error.is_retried:
                    break
            except NoConnection as error:
                failure = (FinishReason.HTTP_ERROR, str(error))
            wait_s = self.retry.delay(attempt, retry_after_s=wait_s)
            if attempt == self.retry.max_attempts or loop.time() + wait_s >= deadline:
                break
            await asyncio.sleep(wait_s)
        reason, detail = failure
        return failed(reason, f"{detail} (attempt {attempt})", 1, usage=paid)

    def _read(self, content: bytes, content_type: str, sampling: SamplingParams) -> list[Completion]:
        return read_answer(
            content,
            content_type=content_type,
            sampling=sampling,
            asked_model=self.served_model,
            accepted_models=self.profile.accepted_models,
        )

    def _pay(self, paid: Usage, usage: Usage) -> Usage:
        """Every answer that came was paid for, whether it can be read or not."""
        if self.budget and usage != Usage():
            self.budget.add(usage)
        return paid + usage

    def _session(self) -> Session:
        """Connections belong to an event loop; callers may have several."""
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            connections: Connections = (
                ClientConnections(self._client)
                if self._client is not None
                else HTTPConnections(self.url, headers=self.headers, size=self.concurrency, proxy=proxy_for(self.url))
            )
            pictures = Pictures(policy=self.policy, image_format=self.image_format)
            self._sessions[loop] = Session(connections, pictures, asyncio.Semaphore(self.concurrency))
        return self._sessions[loop]


# A request that ended so has no text; asking for the remaining choices would end the same way.
TERMINAL = (FinishReason.TIMEOUT, FinishReason.HTTP_ERROR, FinishReason.BUDGET)


def failed(reason: FinishReason, detail: str, num: int, *, usage: Usage = Usage()) -> list[Completion]:  # noqa: B008 (frozen)
    """`num` completions that say why; what was paid for nothing stands on the first."""
    none = Completion(text="", finish_reason=reason, detail=detail)
    return [replace(none, usage=usage), *[none] * (num - 1)]


def key_headers(profile: Profile, api_key: str | None) -> dict[str, str]:
    if api_key is None:
        checked = checked_key(os.environ.get("OPENAI_API_KEY"), name="the environment variable OPENAI_API_KEY")
    else:
        checked = checked_key(api_key, name="api_key")
    if not checked:
        return {}
    return {profile.key_header: f"Bearer {checked}" if profile.key_header == "Authorization" else checked}
