"""A prompt that is too long never reaches the engine, and touches no other."""

import asyncio

import pytest

from urt_core import Completion, Prompt, SamplingParams
from urt_core.engines import traits
from urt_core.engines.wrappers.bounded import BoundedEngine, too_long
from urt_core.errors import PromptError


class Waiting:
    model, concurrency, honours = "waiting", 7, frozenset({"stop"})

    def __init__(self):
        self.asked: list[str] = []

    def num_text_tokens(self, prompt):
        if prompt.text == "?":
            raise ValueError("no template")
        return len(prompt.text.split())

    async def agenerate(self, prompts, sampling):
        self.asked += [prompt.text for prompt in prompts]
        return [[Completion(text=prompt.text)] for prompt in prompts]


def test_what_is_too_long_is_refused_before_the_engine_and_the_rest_goes_on():
    inner = Waiting()
    engine = BoundedEngine(inner, max_prompt_tokens=3)

    async def ask(*texts):
        return await asyncio.gather(
            *(engine.agenerate([Prompt(parts=(text,))], SamplingParams()) for text in texts), return_exceptions=True
        )

    fine, long, broken = asyncio.run(ask("one two three", "one two three four", "?"))
    assert fine == [[Completion(text="one two three")]]
    assert isinstance(long, PromptError)
    assert "has 4 tokens of text, allowed are 3" in str(long)
    assert isinstance(broken, ValueError)
    assert inner.asked == ["one two three"]


def test_it_is_the_engine_that_it_holds():
    assert traits(BoundedEngine(Waiting(), max_prompt_tokens=3)) == traits(Waiting())


@pytest.mark.parametrize(("limit", "is_refused"), [(3, False), (2, True)])
def test_the_limit_itself_is_allowed(limit, is_refused):
    refusal = too_long(Prompt(parts=("a b c",)), lambda prompt: 3, limit)
    assert (refusal is not None) == is_refused
