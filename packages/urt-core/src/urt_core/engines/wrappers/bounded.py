"""A limit on the text of a prompt, kept before any engine computes it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from urt_core.engines import Completion, SamplingParams
from urt_core.engines.wrappers.wrapping import WrappingEngine
from urt_core.errors import PromptError
from urt_core.prompts import Prompt


class BoundedEngine(WrappingEngine[Any]):
    """An engine that takes its own requests as they come, and none with more than `max_prompt_tokens` of text:
    `BoundedEngine(VLLMEngine.from_pretrained(folder, policy=policy), max_prompt_tokens=8192)`"""

    def __init__(self, engine: Any, *, max_prompt_tokens: int) -> None:
        super().__init__(engine)
        self.max_prompt_tokens = max_prompt_tokens

    async def agenerate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        for prompt in prompts:
            # Tokenizing a long text takes a while, and the loop has others to serve.
            if refusal := await asyncio.to_thread(
                too_long, prompt, self.engine.num_text_tokens, self.max_prompt_tokens
            ):
                raise refusal
        return await self.engine.agenerate(prompts, sampling)


def too_long(prompt: Prompt, num_tokens: Callable[[Prompt], int], limit: int) -> Exception | None:
    try:
        number = num_tokens(prompt)
    except Exception as error:  # noqa: BLE001 - a tokenizer or chat template that fails on a caller's text is that caller's fault alone
        return error
    if number <= limit:
        return None
    return PromptError(f"a question has {number:,} tokens of text, allowed are {limit:,}; shorten it")
