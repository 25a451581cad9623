"""The protocol of engines: two methods to choose from, and everything else the library reads of an engine, with its
defaults."""

import inspect
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from urt_core.engines.completion import Completion, SamplingParams
from urt_core.errors import EngineError
from urt_core.prompts import Prompt

if TYPE_CHECKING:
    from urt_core.engines.endpoint.budget import Budget
    from urt_core.media.sampling import MediaPolicy


@runtime_checkable
class Engine(Protocol):
    """Turns prompts into completions, a batch at a time.

    `model` and `generate` must be there. What else is read of an engine stands in `Traits`: an attribute of that name,
    or its default.

        class Constant:
            model = "constant"

            def generate(self, prompts, sampling):
                return [[Completion(text="Image 1 is better.")] * sampling.num_completions for _ in prompts]
    """

    @property
    def model(self) -> str:
        """Identity of the model behind the engine, revision included where it is known. Cached answers are found by
        it."""
        ...

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        """One list of `sampling.num_completions` completions per prompt, in the order of the prompts.

        A prompt that can't be answered gets completions that say why (`finish_reason`); an exception ends the batch.
        """
        ...


@runtime_checkable
class AsyncEngine(Protocol):
    """An engine whose requests wait, on a network or on each other: it is called for a few prompts at a time, and often
    at a time."""

    @property
    def model(self) -> str: ...

    async def agenerate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        """As `Engine.generate`. A caller that is cancelled expects its requests to stop."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Traits:
    """What the library reads of an engine besides its methods: attributes of these names, each with the default that
    stands here.

    Traits(served_model="judge", policy=MediaPolicy(), batch_size=64, concurrency=16)
    """

    served_model: str = ""
    """The name that clients of a server know it by; `model` where an engine has none."""
    policy: "MediaPolicy | None" = None
    """How it scales pictures and cuts videos: part of a result's origin and of cached answers' names."""
    batch_size: int = 64
    """Completions that `generate` computes together: it is called with as many prompts as that, and with fewer at the
    end."""
    concurrency: int = 16
    """Calls of `agenerate` that are useful at a time."""
    honours: frozenset[str] = frozenset()
    """Which of `top_logprobs`, `stop` and the names of `SamplingParams.extra` it does something about."""
    gives_logprobs: bool = True
    """Whether `SamplingParams.logprobs` is met without fail."""
    budget: "Budget | None" = None
    """What it may spend; a run that goes on counts into it what it has spent before."""
    is_independent: bool = False
    """Whether an answer is the same whatever is asked beside it: of a question that is half answered, a run that goes on
    asks the other half alone."""
    is_concurrent: bool = False
    """Asked by `agenerate`, one question a call and as many calls at a time as `concurrency` says: an engine without
    `generate`, or one that says a `concurrency`."""


def traits(engine: Engine | AsyncEngine) -> Traits:
    """Those of `engine`: the one place where attributes of an engine are looked for. An EngineError where it is none."""
    if isinstance(engine, type) or not isinstance(engine, Engine | AsyncEngine):
        found_one = f"the class {engine.__name__}" if isinstance(engine, type) else f"a {type(engine).__name__}"
        raise EngineError(
            f"engine is {found_one}; expected: an object with model and generate(prompts, sampling), or async agenerate"
        )
    found: dict[str, Any] = {
        item.name: getattr(engine, item.name)
        for item in fields(Traits)
        if item.name != "is_concurrent" and getattr(engine, item.name, None) is not None
    }
    for name in ("batch_size", "concurrency"):
        if not isinstance(found.get(name, 1), int):
            raise EngineError(f"{name} of engine {type(engine).__name__} is {found[name]!r}; expected: a whole number")
    found["served_model"] = found.get("served_model") or engine.model
    found["honours"] = frozenset(found.get("honours", ()))
    found["batch_size"] = max(1, found.get("batch_size", Traits().batch_size))
    has_company = "concurrency" in found or not isinstance(engine, Engine)
    found["concurrency"] = max(1, found.get("concurrency", Traits().concurrency))
    return Traits(**found, is_concurrent=isinstance(engine, AsyncEngine) and has_company)


def awaitable(answer: object, engine: AsyncEngine) -> Awaitable[Any]:
    """What `agenerate` of an engine gave, if it can be waited for."""
    if not inspect.isawaitable(answer):
        raise EngineError(
            f"agenerate of engine {type(engine).__name__} returned a {type(answer).__name__} and nothing to wait for;"
            " expected: async def agenerate(prompts, sampling), or def generate(prompts, sampling)"
        )
    return answer


def checked(
    groups: object, prompts: Sequence[Prompt], sampling: SamplingParams, engine: Engine | AsyncEngine
) -> Sequence[Sequence[Completion]]:
    """What an engine gave, if it is a list per prompt of the completions that were asked for: of any other number,
    nobody knows which belong to what."""
    name, number = type(engine).__name__, sampling.num_completions
    expected = f"expected: {len(prompts)} lists of {number} Completion, one list per prompt"
    if not isinstance(groups, Sequence) or isinstance(groups, str):
        raise EngineError(f"engine {name} returned a {type(groups).__name__}; {expected}")
    if len(groups) != len(prompts):
        raise EngineError(f"engine {name} returned {len(groups)} lists; {expected}")
    for group in groups:
        if not isinstance(group, Sequence) or isinstance(group, str):
            raise EngineError(f"engine {name} returned a {type(group).__name__} for a prompt; {expected}")
        if len(group) != number:
            raise EngineError(f"engine {name} returned {len(group)} completions for a prompt; {expected}")
        if strange := [item for item in group if not isinstance(item, Completion)]:
            raise EngineError(f"engine {name} returned a {type(strange[0]).__name__} as a completion; {expected}")
    return groups


def honoured(engine: Engine | AsyncEngine) -> frozenset[str]:
    """`Traits.honours`."""
    return traits(engine).honours


def close_engine(engine: Engine | AsyncEngine) -> None:
    """Lets go of what an engine holds, if it has anything to let go of: `close()`, or `aclose()` on the loop of
    synchronous calls."""
    if close := getattr(engine, "close", None):
        close()
    elif aclose := getattr(engine, "aclose", None):
        from urt_core.streaming import BACKGROUND

        BACKGROUND.run(aclose())
