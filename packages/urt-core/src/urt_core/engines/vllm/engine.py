"""Judging with vLLM on this machine (`pip install "urt-core[vllm]"`), by its own asynchronous engine: each request is
scheduled as it comes and handed back as it ends, and no batch waits for its slowest."""

import asyncio
import itertools
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from urt_core.engines import Completion, SamplingParams
from urt_core.engines.vllm.lifetime import ending_with_this_process
from urt_core.engines.vllm.requests import (
    HONOURS,
    REFUSALS,
    Requests,
    bad_media,
    no_room,
    one_line,
    refused,
    vllm_settings,
)
from urt_core.errors import EngineError, MediaError
from urt_core.media import MediaPolicy, prompt_frames
from urt_core.prompts import Prompt
from urt_core.streaming import BACKGROUND

CONCURRENCY = 128
"""Questions in flight where no number is said; in both orders 256 requests, which vLLM computes together by default."""


class VLLMEngine:
    """`llm` is a `vllm.AsyncLLMEngine` that was started on the loop of `BACKGROUND`, where all its calls are made.

    engine = VLLMEngine.from_pretrained("outputs/tiny/grpo/model", policy=MediaPolicy(), tensor_parallel_size=2)
    """

    honours = HONOURS

    def __init__(
        self, llm: Any, tokenizer: Any, *, policy: MediaPolicy, model: str, concurrency: int = CONCURRENCY
    ) -> None:
        self.tokenizer, self.policy, self.model = tokenizer, policy, model
        self.concurrency = concurrency
        self.requests = Requests(tokenizer, model_config=llm.model_config)
        self._numbers = itertools.count()
        self._running = [llm]
        weakref.finalize(self, shut_down, self._running)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        policy: MediaPolicy,
        max_images: int | None = None,
        concurrency: int = CONCURRENCY,
        **settings: Any,
    ) -> "VLLMEngine":
        """`settings` go to vLLM (`tensor_parallel_size`, `data_parallel_size`, `max_model_len`, ...).

        `EngineError` where it is not installed or does not start.
        """
        complete, tokenizer = vllm_settings(path, policy=policy, max_images=max_images, **settings)
        if complete.get("enforce_eager") and complete.get("tensor_parallel_size", 1) == 1:
            complete.setdefault("distributed_executor_backend", "uni")  # one process for the model, and not two

        async def start() -> Any:
            from vllm import AsyncEngineArgs, AsyncLLMEngine

            asked = AsyncEngineArgs(**{"disable_log_stats": True, "enable_log_requests": False, **complete})
            with ending_with_this_process():
                return AsyncLLMEngine.from_engine_args(asked)

        try:
            llm = BACKGROUND.run(start())
        except REFUSALS as error:
            raise refused(path, settings, error) from error
        return cls(llm, tokenizer, policy=policy, model=str(path), concurrency=concurrency)

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return BACKGROUND.run(self._answers(prompts, sampling))

    async def agenerate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        """A caller that is cancelled has its requests aborted."""
        return await BACKGROUND.arun(self._answers(prompts, sampling))

    def close(self) -> None:
        shut_down(self._running)

    def num_text_tokens(self, prompt: Prompt) -> int:
        from urt_core.engines.model.encoding import num_text_tokens

        return num_text_tokens(self.tokenizer, prompt)

    async def _answers(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return list(await asyncio.gather(*(self._answer(prompt, sampling, n) for n, prompt in enumerate(prompts))))

    async def _answer(self, prompt: Prompt, sampling: SamplingParams, index: int) -> list[Completion]:
        if not self._running:
            raise EngineError(f"vLLM on {self.model} was closed; open another engine")
        from vllm.exceptions import VLLMClientError
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        try:
            request = await asyncio.to_thread(self._request, prompt)
            settings = self.requests.sampling(sampling, index, output_kind=RequestOutputKind.FINAL_ONLY)
            outputs = self._running[0].generate(request, settings, request_id=f"urt-{next(self._numbers)}")
            found = [output async for output in outputs]
        except MediaError as error:
            return bad_media(error, sampling)
        except (EngineDeadError, EngineGenerateError) as error:
            raise EngineError(f"vLLM on {self.model} has stopped: {one_line(error)}; see its log above") from error
        except (ValueError, VLLMClientError) as error:
            return no_room(error, sampling)
        return self.requests.completions(found[-1], sampling)

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        return self.requests.prompt(prompt, prompt_frames(prompt, policy=self.policy))


def shut_down(running: list[Any]) -> None:
    while running:
        running.pop().shutdown()
