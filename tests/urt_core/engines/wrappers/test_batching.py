"""Concurrent callers share batches, and one caller's mistake stays their own."""

import asyncio
import threading
import time

import pytest

from urt_core.engines import Completion, SamplingParams
from urt_core.engines.wrappers.batching import BatchingEngine
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


def test_what_breaks_the_engine_is_heard_of_by_its_own_caller_alone():
    """However many honest requests are beside it, and whatever the engine raises."""

    async def main(engine, recording):
        recording.go.set()
        texts = ("a", "broken", "b", "c")
        answers = await asyncio.gather(*(ask(engine, text) for text in texts), return_exceptions=True)
        assert isinstance(answers[1], EngineError)
        assert [answers[0], *answers[2:]] == ["a", "b", "c"]
        assert [len(batch) for batch in recording.batches] == [4, 2, 1, 1, 2]
        assert await ask(engine, "d") == "d"

    run(main)


def test_a_question_that_is_too_long_never_reaches_the_engine():
    class Counting(RecordingEngine):
        def num_text_tokens(self, prompt):
            return len(prompt.text)

    async def main():
        recording = Counting()
        recording.go.set()
        engine = BatchingEngine(recording, max_prompt_tokens=5)
        answers = await asyncio.gather(*(ask(engine, text) for text in ("a", "b" * 6, "c")), return_exceptions=True)
        assert str(answers[1]) == "a question has 6 tokens of text, allowed are 5; shorten it"
        assert [answers[0], answers[2]] == ["a", "c"]
        assert recording.batches == [["a", "c"]]
        await engine.aclose()

    asyncio.run(main())


def test_an_engine_that_asks_is_told_who_has_gone():
    """Of two callers in one batch one goes away: the engine stops writing for it, and only for it."""

    class Writing:
        model, batch_size = "writing", 4

        def __init__(self):
            self.steps = [0, 0]

        def generate(self, prompts, sampling, *, is_wanted=None):
            assert is_wanted is not None
            for _ in range(200):
                for index in range(len(prompts)):
                    self.steps[index] += is_wanted(index)
                if not any(map(is_wanted, range(len(prompts)))):
                    break
                time.sleep(0.005)
            return [[Completion(text=prompt.text)] for prompt in prompts]

    async def main():
        writing = Writing()
        engine = BatchingEngine(writing)
        stays, goes = (asyncio.create_task(ask(engine, text)) for text in ("stays", "goes"))
        await asyncio.sleep(0.05)
        goes.cancel()
        assert await stays == "stays"
        assert writing.steps[0] == 200
        assert 0 < writing.steps[1] < 100
        last = asyncio.create_task(ask(engine, "last"))
        await asyncio.sleep(0.05)
        await engine.aclose()  # a server that ends has drained long enough
        assert writing.steps[0] < 300
        last.cancel()

    asyncio.run(main())


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
