"""An engine around another one changes what it says it changes, and nothing else."""

from dataclasses import fields

import pytest

from urt_core import MediaPolicy, SamplingParams
from urt_core.engines import Completion, FinishReason, Traits, traits
from urt_core.engines.endpoint.budget import Budget
from urt_core.engines.wrappers.batching import BatchingEngine
from urt_core.engines.wrappers.bounded import BoundedEngine
from urt_core.engines.wrappers.cache import CompletionCache
from urt_core.engines.wrappers.cached import CachedEngine


class Particular:
    """None of its traits has its default."""

    model, served_model = "particular", "known as"
    policy = MediaPolicy(max_pixels=4096)
    batch_size = 3
    honours = frozenset({"stop"})
    gives_logprobs = False
    budget = Budget(max_tokens=5)
    is_independent = True

    def generate(self, prompts, sampling: SamplingParams) -> list[list[Completion]]:
        return [[Completion(text="yes", finish_reason=FinishReason.STOP)] for _ in prompts]


class Concurrent(Particular):
    concurrency = 7

    async def agenerate(self, prompts, sampling: SamplingParams) -> list[list[Completion]]:
        return self.generate(prompts, sampling)


def cached(engine, folder):
    return CachedEngine(engine, cache=CompletionCache(folder / "answers.sqlite"))


def bounded(engine, folder):
    return BoundedEngine(engine, max_prompt_tokens=3)


def batching(engine, folder):
    return BatchingEngine(engine)


@pytest.mark.parametrize(
    ("wrap", "inner", "changed"),
    [
        (cached, Particular, set()),
        (cached, Concurrent, set()),
        (bounded, Concurrent, set()),
        (batching, Particular, {"concurrency", "is_concurrent"}),
    ],
)
def test_traits_are_those_of_the_engine_inside(wrap, inner, changed, tmp_path):
    expected, found = traits(inner()), traits(wrap(inner(), tmp_path))
    names = {field.name for field in fields(Traits)}
    assert {name for name in names if getattr(found, name) != getattr(expected, name)} == changed


def test_the_engine_inside_is_a_default_in_nothing():
    names = {field.name for field in fields(Traits)}
    assert not {name for name in names if getattr(traits(Concurrent()), name) == getattr(Traits(), name)}


def test_a_budget_and_missing_log_probs_are_seen_through_a_cache(tmp_path):
    """A run that goes on counts what it paid before; a suite asks an endpoint for no log-probs that it does not give."""
    engine = cached(Concurrent(), tmp_path)
    assert traits(engine).budget is Concurrent.budget
    assert not traits(engine).gives_logprobs
