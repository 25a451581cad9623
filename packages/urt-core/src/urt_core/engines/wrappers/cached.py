"""Any engine behind a `CompletionCache`: each distinct request reaches the engine once, in however many processes."""

import asyncio
import logging
import time
from collections.abc import Sequence

from urt_core.engines import AsyncEngine, Completion, Engine, FinishReason, SamplingParams, traits
from urt_core.engines.wrappers.cache import CompletionCache, cache_key
from urt_core.errors import EngineError, MediaError
from urt_core.media import preprocessing_id
from urt_core.prompts import Prompt

LOG = logging.getLogger(__name__)
POLL_S = 0.02
TOLD_AFTER_S = 30.0


class CachedEngine:
    """An engine whose answers are kept: CachedEngine(OpenAIEngine(...), cache=CompletionCache("judgements.sqlite"))."""

    def __init__(self, engine: Engine | AsyncEngine, *, cache: CompletionCache) -> None:
        self.engine, self.cache = engine, cache
        known = traits(engine)
        self.policy, self.honours, self.served_model = known.policy, known.honours, known.served_model
        self.batch_size = known.batch_size
        self.concurrency = known.concurrency if known.is_concurrent else None
        self.num_hits = 0
        """Prompts answered from the cache, or by waiting for another process."""
        self.num_misses = 0

    @property
    def model(self) -> str:
        return self.engine.model

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        if not isinstance(self.engine, Engine):
            raise EngineError(f"{type(self.engine).__name__} has no generate; use agenerate")
        keys, answers = self._keys(prompts, sampling)
        told = False
        began = time.monotonic()
        while missing := self._missing(keys, answers):
            claimed = self.cache.claim(missing)
            if not claimed:
                told = told or tell(len(missing), began)
                time.sleep(POLL_S)
                continue
            results: dict[str, list[Completion] | None] = dict.fromkeys(claimed)
            try:
                asked = [prompts[keys.index(key)] for key in claimed]
                results.update(zip(claimed, self.engine.generate(asked, sampling), strict=True))
            finally:
                self.cache.settle(results)
            self._take(results, answers)
        return self._in_order(keys, answers)

    async def agenerate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        if not isinstance(self.engine, AsyncEngine):
            return await asyncio.to_thread(self.generate, prompts, sampling)
        keys, answers = self._keys(prompts, sampling)
        told = False
        began = time.monotonic()
        while missing := self._missing(keys, answers):
            claimed = self.cache.claim(missing)
            if not claimed:
                told = told or tell(len(missing), began)
                await asyncio.sleep(POLL_S)
                continue
            results: dict[str, list[Completion] | None] = dict.fromkeys(claimed)
            try:
                asked = [prompts[keys.index(key)] for key in claimed]
                results.update(zip(claimed, await self.engine.agenerate(asked, sampling), strict=True))
            finally:
                self.cache.settle(results)
            self._take(results, answers)
        return self._in_order(keys, answers)

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

    def _take(self, results: dict[str, list[Completion] | None], answers: dict[str, list[Completion]]) -> None:
        self.num_misses += len(results)
        answers |= {key: completions for key, completions in results.items() if completions is not None}

    @staticmethod
    def _in_order(keys: Sequence[str], answers: dict[str, list[Completion]]) -> list[list[Completion]]:
        return [answers[key] for key in keys]


def tell(num_missing: int, began: float) -> bool:
    """Once, where it takes long: other callers or processes ask for the same, and are waited for."""
    if time.monotonic() - began < TOLD_AFTER_S:
        return False
    LOG.warning("waiting for %d answers that somebody else is asking for", num_missing)
    return True
