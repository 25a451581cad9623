"""Any engine behind a `CompletionCache`: each distinct request reaches the engine once, in however many processes."""

import asyncio
import logging
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from urt_core.engines import AsyncEngine, Completion, Engine, FinishReason, SamplingParams, awaitable, checked
from urt_core.engines.wrappers.cache import CompletionCache, cache_key
from urt_core.engines.wrappers.wrapping import WrappingEngine
from urt_core.errors import EngineError, MediaError
from urt_core.media import preprocessing_id
from urt_core.prompts import Prompt

LOG = logging.getLogger(__name__)
POLL_S = 0.02
TOLD_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class Answered:
    """The last of the steps."""

    groups: list[list[Completion]]


class CachedEngine(WrappingEngine[Engine | AsyncEngine]):
    """An engine whose answers are kept: CachedEngine(OpenAIEngine(...), cache=CompletionCache("judgements.sqlite"))."""

    def __init__(self, engine: Engine | AsyncEngine, *, cache: CompletionCache) -> None:
        super().__init__(engine)
        self.cache = cache
        self.num_hits = 0
        """Prompts answered from the cache, or by waiting for another process."""
        self.num_misses = 0

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        if not isinstance(self.engine, Engine):
            raise EngineError(f"{type(self.engine).__name__} has no generate; use agenerate")
        steps, given = self._steps(prompts, sampling), None
        with closing(steps):
            while not isinstance(step := steps.send(given), Answered):
                given = time.sleep(POLL_S) if step is None else self.engine.generate(step, sampling)
        return step.groups

    async def agenerate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        if not isinstance(self.engine, AsyncEngine):
            return await asyncio.to_thread(self.generate, prompts, sampling)
        steps, given = self._steps(prompts, sampling), None
        with closing(steps):
            while not isinstance(step := steps.send(given), Answered):
                given = await (
                    asyncio.sleep(POLL_S)
                    if step is None
                    else awaitable(self.engine.agenerate(step, sampling), self.engine)
                )
        return step.groups

    def _steps(
        self, prompts: Sequence[Prompt], sampling: SamplingParams
    ) -> Generator[list[Prompt] | Answered | None, list[list[Completion]] | None, None]:
        """What is to be done next: prompts to ask, whose completions are sent in; None, to wait a little for others that
        ask the same; at last all answers. Whoever closes it before that gives its claims back."""
        keys, answers = self._keys(prompts, sampling)
        told = False
        began = time.monotonic()
        while missing := self._missing(keys, answers):
            claimed = self.cache.claim(missing)
            if not claimed:
                told = told or tell(len(missing), began)
                yield None
                continue
            results: dict[str, list[Completion] | None] = dict.fromkeys(claimed)
            try:
                asked = [prompts[keys.index(key)] for key in claimed]
                given = checked((yield asked), asked, sampling, self.engine)
                answered = {key: list(group) for key, group in zip(claimed, given, strict=True)}
                results.update(answered)
            finally:
                self.cache.settle(results)
            self.num_misses += len(answered)
            answers |= answered
        yield Answered([answers[key] for key in keys])

    def _keys(
        self, prompts: Sequence[Prompt], sampling: SamplingParams
    ) -> tuple[list[str], dict[str, list[Completion]]]:
        """A key per prompt; prompts whose media can't even be read are answered here, under a key of their own."""
        preprocessing = preprocessing_id(self.policy) if self.policy else ""
        keys: list[str] = []
        answers: dict[str, list[Completion]] = {}
        for index, prompt in enumerate(prompts):
            try:
                keys.append(cache_key(prompt, sampling, model=self.model, preprocessing=preprocessing))
            except MediaError as error:
                bad = Completion(text="", finish_reason=FinishReason.BAD_MEDIA, detail=str(error))
                keys.append(f"unreadable-{index}")
                answers[keys[-1]] = [bad] * sampling.num_completions
        return keys, answers

    def _missing(self, keys: Sequence[str], answers: dict[str, list[Completion]]) -> list[str]:
        missing = [key for key in dict.fromkeys(keys) if key not in answers]
        stored = self.cache.get(missing)
        self.num_hits += len(stored)
        answers |= stored
        return [key for key in missing if key not in stored]


def tell(num_missing: int, began: float) -> bool:
    """Once, where it takes long: other callers or processes ask for the same, and are waited for."""
    if time.monotonic() - began < TOLD_AFTER_S:
        return False
    LOG.warning("waiting for %d answers that somebody else is asking for", num_missing)
    return True
