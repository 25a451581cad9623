"""Concurrent callers share batches, and one caller's mistake stays their own."""

import asyncio
import threading

import pytest

from urt_core.engines import Completion, SamplingParams
from urt_core.engines.batching import BatchingEngine
from urt_core.errors import EngineError, PromptError
from urt_core.prompts import Prompt

GREEDY = SamplingParams()


class RecordingEngine:
    """Repeats prompts. The first batch waits for `go`, so that a test decides who is in the second."""

    model, batch_size = "recording", 4

    def __init__(self):
        self.batches, self.threads, self.go = [], set(), threading.Event()

    def generate(self, prompts, sampling):
        self.threads.add(threading.get_ident())
        self.batches.append([prompt.text for prompt in prompts])
        self.go.wait(10)
        for prompt in prompts:
            if prompt.text == "odd":
                raise PromptError("odd prompt")
            if prompt.text == "broken":
                raise EngineError("out of memory")
        return [[Completion(text=prompt.text)] * sampling.num_completions for prompt in prompts]


def run(main):
    """`main(engine, recording)` in an event loop; the engine is closed afterwards."""
    recording = RecordingEngine()

    async def closed():
        engine = BatchingEngine(recording, max_wait_s=0.01)
        try:
            return await main(engine, recording)
        finally:
            recording.go.set()
            await engine.aclose()

    return asyncio.run(closed())


async def ask(engine, text, sampling=GREEDY):
    [[completion, *_]] = await engine.agenerate([Prompt(parts=(text,))], sampling)
    return completion.text


def test_what_is_asked_meanwhile_goes_into_the_next_batch():
    async def main(engine, recording):
        first = [asyncio.create_task(ask(engine, f"a{index}")) for index in range(2)]
        while not recording.batches:
            await asyncio.sleep(0.005)
        later = [asyncio.create_task(ask(engine, f"b{index}")) for index in range(6)]
        await asyncio.sleep(0)
        recording.go.set()
        assert await asyncio.gather(*first, *later) == ["a0", "a1", *(f"b{index}" for index in range(6))]
        assert [len(batch) for batch in recording.batches] == [2, 4, 2]
        assert len(recording.threads) == 1

    run(main)


def test_requests_that_are_sampled_differently_do_not_share_a_batch():
    async def main(engine, recording):
        recording.go.set()
        sampled = SamplingParams(temperature=1.0, num_completions=2)
        await asyncio.gather(ask(engine, "a"), ask(engine, "b", sampled), ask(engine, "c"))
        assert sorted(recording.batches) == [["a", "c"], ["b"]]

    run(main)


def test_a_prompt_that_is_refused_fails_its_own_caller_alone():
    async def main(engine, recording):
        recording.go.set()
        answers = await asyncio.gather(*(ask(engine, text) for text in ("a", "odd", "b")), return_exceptions=True)
        assert [answers[0], answers[2]] == ["a", "b"]
        assert isinstance(answers[1], PromptError)

    run(main)


def test_an_engine_that_breaks_is_heard_of_by_everybody_and_goes_on():
    async def main(engine, recording):
        recording.go.set()
        answers = await asyncio.gather(ask(engine, "a"), ask(engine, "broken"), return_exceptions=True)
        assert all(isinstance(answer, EngineError) for answer in answers)
        assert await ask(engine, "c") == "c"

    run(main)


def test_a_caller_that_went_away_is_not_computed():
    async def main(engine, recording):
        first = asyncio.create_task(ask(engine, "a"))
        while not recording.batches:
            await asyncio.sleep(0.005)
        gone = asyncio.create_task(ask(engine, "gone"))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        recording.go.set()
        assert await first == "a"
        assert await ask(engine, "b") == "b"
        assert recording.batches == [["a"], ["b"]]

    run(main)
