"""An engine behind a cache: what was answered is not asked again, what failed is."""

import asyncio

import pytest

from tests.urt_core.engines.wrappers.conftest import SAMPLING, answer, prompts
from urt_core import SamplingParams
from urt_core.engines import Completion, Engine, FinishReason
from urt_core.engines.scripted import ScriptedEngine
from urt_core.engines.wrappers.cache import CompletionCache
from urt_core.engines.wrappers.cached import CachedEngine
from urt_core.errors import EngineError
from urt_core.prompts import Prompt
from urt_core.records import Media, MediaKind


def test_a_second_run_asks_nothing_and_returns_the_same(tmp_path):
    first = CachedEngine(ScriptedEngine(script=answer), cache=CompletionCache(tmp_path / "c.sqlite"))
    assert isinstance(first, Engine)
    given = first.generate(prompts(5), SAMPLING)
    engine = ScriptedEngine(script=answer)
    second = CachedEngine(engine, cache=CompletionCache(tmp_path / "c.sqlite"))
    assert second.generate(list(reversed(prompts(5))), SAMPLING) == list(reversed(given))
    assert asyncio.run(second.agenerate(prompts(5), SAMPLING)) == given
    assert engine.prompts == []
    assert (second.num_hits, second.num_misses) == (10, 0)


def test_equal_prompts_of_one_call_are_asked_once(tmp_path):
    engine = ScriptedEngine(script=answer)
    cached = CachedEngine(engine, cache=CompletionCache(tmp_path / "c.sqlite"))
    groups = cached.generate([*prompts(3), *prompts(3)], SAMPLING)
    assert groups[:3] == groups[3:]
    assert len(engine.prompts) == 3


@pytest.mark.parametrize("reason", [FinishReason.TIMEOUT, FinishReason.HTTP_ERROR, FinishReason.BUDGET])
def test_failures_are_asked_again(tmp_path, reason):
    script = [Completion(text="", finish_reason=reason), Completion(text="now")]
    cached = CachedEngine(ScriptedEngine(script=script), cache=CompletionCache(tmp_path / "c.sqlite"))
    [[first]] = cached.generate(prompts(1), SamplingParams())
    [[second]] = cached.generate(prompts(1), SamplingParams())
    assert (first.finish_reason, second.text) == (reason, "now")
    assert len(cached.cache) == 1


@pytest.mark.parametrize("reason", [FinishReason.REFUSED, FinishReason.LENGTH])
def test_paid_answers_without_a_verdict_are_kept(tmp_path, reason):
    cached = CachedEngine(
        ScriptedEngine(script=[Completion(text="no", finish_reason=reason)]),
        cache=CompletionCache(tmp_path / "c.sqlite"),
    )
    assert cached.generate(prompts(1), SamplingParams()) == cached.generate(prompts(1), SamplingParams())


def test_an_error_gives_the_claims_back(tmp_path):
    cached = CachedEngine(ScriptedEngine(script=[]), cache=CompletionCache(tmp_path / "c.sqlite"))
    with pytest.raises(Exception, match="holds 0 answers"):
        cached.generate(prompts(2), SAMPLING)
    cached.engine = ScriptedEngine(script=answer)
    assert len(cached.generate(prompts(2), SAMPLING)) == 2


def test_unreadable_media_are_not_cached(tmp_path):
    missing = Prompt(parts=(Media(kind=MediaKind.IMAGE, files=("missing.png",)), "?"))
    engine = ScriptedEngine(script=answer)
    cached = CachedEngine(engine, cache=CompletionCache(tmp_path / "c.sqlite"))
    bad, good = cached.generate([missing, prompts(1)[0]], SAMPLING)
    assert [c.finish_reason for c in bad] == ["bad_media"] * 2
    assert good[0].text == "question 0 answer 0"
    assert len(engine.prompts) == 1


def test_concurrent_tasks_wait_for_one_request(tmp_path):
    class Slow:
        model = "slow"
        calls = 0

        async def agenerate(self, prompts, sampling):
            Slow.calls += len(prompts)
            await asyncio.sleep(0.05)
            return [[answer(prompt, 0)] for prompt in prompts]

    async def main():
        cached = CachedEngine(Slow(), cache=CompletionCache(tmp_path / "c.sqlite"))
        return await asyncio.gather(*(cached.agenerate(prompts(3), SamplingParams()) for _ in range(6)))

    results = asyncio.run(main())
    assert all(result == results[0] for result in results)
    assert Slow.calls == 3


@pytest.mark.parametrize(
    ("given", "found"), [([], "0 completions"), (["now"] * 3, "3 completions"), (None, "a NoneType")]
)
def test_what_was_not_asked_for_is_never_kept(tmp_path, given, found):
    class Own:
        model = "own"

        def generate(self, prompts, sampling):
            return None if given is None else [[Completion(text=text) for text in given] for _ in prompts]

    cached = CachedEngine(Own(), cache=CompletionCache(tmp_path / "c.sqlite"))  # type: ignore[arg-type]
    with pytest.raises(EngineError, match=f"engine Own returned {found}.*expected: 1 lists of 2 Completion"):
        cached.generate(prompts(1), SamplingParams(num_completions=2))
    assert len(cached.cache) == 0
