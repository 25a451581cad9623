"""An engine with the two documented members is used as well as ours; what else is read of it has a default."""

import asyncio
import time

import pytest

from urt_core import Media, MediaKind, PreferenceRecord, SamplingParams, Scorer, Task
from urt_core.engines import Completion, FinishReason, Traits, close_engine, traits
from urt_core.engines.wrappers.cache import CompletionCache
from urt_core.engines.wrappers.cached import CachedEngine
from urt_core.errors import EngineError, PromptError
from urt_core.media import MediaPolicy

BETTER = Completion(text="Answer 1 is better.")


def records(number):
    for index in range(number):
        medium = Media(kind=MediaKind.IMAGE, files=("a.gif",), data=(b"GIF",))
        yield PreferenceRecord(
            key=f"r-{index}", task=Task.IMAGE_UNDERSTANDING, text=f"q {index}", first="a", second="b", media=medium
        )


class Batched:
    model = "batched"

    def __init__(self):
        self.sizes = []

    def generate(self, prompts, sampling):
        self.sizes.append(len(prompts))
        return [[BETTER] * sampling.num_completions for _ in prompts]


class Waiting:
    """Takes 50 ms an answer, and counts how many it gives at a time."""

    model = "waiting"

    def __init__(self):
        self.now = self.most = 0

    async def agenerate(self, prompts, sampling):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.05)
        self.now -= 1
        return [[BETTER] for _ in prompts]


def test_defaults_are_those_of_our_own_engines():
    assert traits(Batched()) == Traits(served_model="batched", batch_size=64, is_concurrent=False)
    assert traits(Waiting()) == Traits(served_model="waiting", concurrency=16, is_concurrent=True)


def test_what_an_engine_says_is_read(tmp_path):
    class Outspoken(Batched):
        batch_size, policy, served_model, honours = 7, MediaPolicy(), "judge", frozenset({"stop"})

    engine = Outspoken()
    found = traits(engine)
    assert (found.batch_size, found.policy, found.served_model) == (7, MediaPolicy(), "judge")
    assert found.honours == frozenset({"stop"})
    cached = traits(CachedEngine(engine, cache=CompletionCache(tmp_path / "c.sqlite")))
    assert (cached.batch_size, cached.served_model, cached.is_concurrent) == (7, "judge", False)


def test_an_engine_of_model_and_generate_gets_full_batches():
    engine = Batched()
    found = list(Scorer(engine=engine, dialect="direct", orders="given").compare_batch(records(130)))
    assert engine.sizes == [64, 64, 2]
    assert {comparison.status for comparison in found} == {"ok"}


def test_an_engine_of_model_and_agenerate_gets_many_calls_at_a_time():
    engine = Waiting()
    began = time.monotonic()
    found = list(Scorer(engine=engine, dialect="direct", orders="given").compare_batch(records(64)))
    assert len(found) == 64
    assert engine.most >= 16
    assert time.monotonic() - began < 64 * 0.05 / 4  # one by one it would be 3.2 s


@pytest.mark.parametrize("error", [PromptError("a slot too many"), PromptError("another")])
def test_a_prompt_that_the_engine_refuses_costs_its_row(error):
    class Refusing(Batched):
        def generate(self, prompts, sampling):
            if any("q 3" in prompt.text for prompt in prompts):
                raise error
            return super().generate(prompts, sampling)

    found = list(Scorer(engine=Refusing(), dialect="direct", orders="given").compare_batch(records(6)))
    assert [comparison.status for comparison in found] == ["ok"] * 3 + ["bad_record"] + ["ok"] * 2
    assert found[3].detail == str(error)


def test_a_lone_surrogate_is_a_status():
    scorer = Scorer(engine=Batched(), dialect="direct")
    comparison = scorer.compare(task="image_generation", text="a \ud83d cat", first=b"a", second=b"b")
    assert (comparison.status, comparison.preference) == ("bad_record", None)
    assert "surrogate" in comparison.detail
    comparison.to_json()
    score = scorer.score(task="image_generation", text="a \ud83d cat", candidate=b"a")
    assert (score.status, score.score) == ("bad_record", None)


def test_engines_are_closed_by_whichever_way_they_have():
    closed = []

    class Async(Waiting):
        async def aclose(self):
            closed.append("aclose")

    class Sync(Batched):
        def close(self):
            closed.append("close")

    for engine in (Async(), Sync(), Batched()):
        close_engine(engine)
    assert closed == ["aclose", "close"]


def test_reasons_are_statuses_by_name():
    assert {str(Completion(text="", finish_reason=reason).status) for reason in FinishReason} == {
        "ok", "truncated", "refused", "timeout", "http_error", "bad_media", "bad_record", "budget",
    }  # fmt: skip
    assert SamplingParams().num_completions == 1


def test_what_is_no_engine_is_said_when_it_is_given():
    class Nameless:
        def generate(self, prompts, sampling):
            return []

    class Mute:
        model = "mute"

    for given, found in (
        (None, "a NoneType"), ("judge", "a str"), (Nameless(), "a Nameless"), (Mute(), "a Mute"), (Batched, "the class Batched"),
    ):  # fmt: skip
        with pytest.raises(EngineError, match=f"engine is {found}; expected: an object with model and generate"):
            Scorer(engine=given)  # type: ignore[arg-type]
    for name in ("batch_size", "concurrency"):
        engine = Batched()
        setattr(engine, name, "many")
        with pytest.raises(EngineError, match=f"{name} of engine Batched is 'many'; expected: a whole number"):
            Scorer(engine=engine)
