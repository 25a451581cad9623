"""Rewards by name: one table of functions and weights, whoever wrote them and whether they wait on a network or not."""

import asyncio
import inspect
import math
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Real
from types import MappingProxyType
from typing import Any, TypeVar

from urt_core.doors import load_door, only_parameter, what_was_raised, wrong_signature
from urt_core.engines import Completion, FinishReason
from urt_core.errors import ConfigError, RewardError, UrtError
from urt_core.prompts.prompt import Dialect
from urt_core.records import Media, MediaKind, Preference, PreferenceRecord, Task
from urt_core.rewards.built_in import BUILT_IN
from urt_core.rewards.sample import Reward, RewardInput, combine

T = TypeVar("T")

EXPECTED = (
    "def reward(sample: RewardInput) -> float, or def reward(samples: Sequence[RewardInput]) -> Sequence[float]; "
    "async or not; NaN says that it could not say"
)
GROUP = "urt.rewards"
"""The group of entry points that installs rewards."""
MAX_WAITING = 64
"""Calls of one asynchronous reward that wait at the same time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardFunction:
    """A reward behind its door: RewardFunction(path="my_package.rewards:length", function=length, takes_batch=False)"""

    path: str
    function: Callable[..., Any] = field(repr=False)
    takes_batch: bool

    def call(self, samples: Sequence[RewardInput]) -> Any:
        """What the function answers: numbers, or what has to be awaited for them (which has not begun yet)."""
        try:
            return self.function(samples) if self.takes_batch else [self.function(sample) for sample in samples]
        except UrtError:
            raise
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            raise self._wrong(f"raised {what_was_raised(error)}") from error

    async def wait(self, answers: Any) -> Any:
        """The numbers behind what an asynchronous function answered, `MAX_WAITING` calls at a time."""
        waiting = asyncio.Semaphore(MAX_WAITING)

        async def one(answer: Any) -> Any:
            async with waiting:
                try:
                    return await answer if inspect.isawaitable(answer) else answer
                except UrtError:
                    raise
                except (Exception, SystemExit, asyncio.CancelledError) as error:
                    if (task := asyncio.current_task()) and task.cancelling():
                        raise  # whoever waits for the rewards has stopped
                    raise self._wrong(f"raised {what_was_raised(error)}") from error

        return await (one(answers) if inspect.isawaitable(answers) else asyncio.gather(*map(one, answers)))

    def numbers(self, answers: Any, expected: int) -> list[float]:
        """One number per sample; a RewardError where the answers are something else."""
        # A str is a sequence too; a tensor or an array is none, but has a length and rows, unless it is one number. The
        # items of a mapping are its keys, those of a set are in no order.
        is_number = getattr(answers, "ndim", 1) == 0
        if isinstance(answers, str | bytes | Mapping | Set) or is_number or not hasattr(answers, "__len__"):
            raise self._wrong(f"returned a {type(answers).__name__}")
        if len(answers) != expected:
            raise self._wrong(f"returned {len(answers)} values for {expected} samples")
        return [self._number(value) for value in answers]

    def _number(self, value: Any) -> float:
        # numpy and torch scalars are numbers too, and know it by `item`.
        value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
        if not isinstance(value, Real):
            raise self._wrong(f"returned a {type(value).__name__} for a sample")
        try:
            number = float(value)
        except OverflowError:  # an integer that no float holds
            number = math.inf
        if math.isinf(number):
            raise self._wrong(f"returned {number} for a sample, which no sum survives")
        return number

    def _wrong(self, what: str) -> RewardError:
        return RewardError(f"reward {self.path!r} {what}; expected: {EXPECTED}")


@lru_cache(maxsize=256)
def load_reward(path: str) -> RewardFunction:
    """The reward of a built-in name, an import path `package.module:name`, or an entry point of the group
    `urt.rewards`."""
    function = load_door(path, kind="reward", group=GROUP, built_in=BUILT_IN, expected=EXPECTED)
    parameter = only_parameter(function, path, kind="reward", expected=EXPECTED)
    annotation = "" if parameter.annotation is parameter.empty else inspect.formatannotation(parameter.annotation)
    takes_batch = parameter.name == "samples" or ("RewardInput" in annotation and "[" in annotation)
    if not takes_batch and parameter.name != "sample" and "RewardInput" not in annotation:
        raise wrong_signature(function, path, kind="reward", expected=EXPECTED)
    return RewardFunction(path=path, function=function, takes_batch=takes_batch)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rewards:
    """Rewards and their weights: Rewards.load({"format": 1.0, "accuracy": 1.0, "my_package.rewards:length": -0.1})"""

    functions: tuple[RewardFunction, ...]
    weights: Mapping[str, float]

    @classmethod
    def load(cls, weights: Mapping[str, float]) -> "Rewards":
        """Imports what is named; a ConfigError that names path, expected and found where that does not fit."""
        if not weights:
            raise ConfigError(f"no reward has a weight; give at least one of {', '.join(BUILT_IN)}, or one of your own")
        if not all(math.isfinite(weight) for weight in weights.values()):
            raise ConfigError(f"reward weights are {dict(weights)}; they must be finite numbers")
        return cls(functions=tuple(map(load_reward, weights)), weights=MappingProxyType(dict(weights)))

    def __call__(self, samples: Sequence[RewardInput]) -> list[Reward]:
        """What each sample earned, in their order. Asynchronous rewards wait together."""
        answers = [function.call(samples) for function in self.functions]
        waiting = [place for place, answer in enumerate(answers) if _has_to_wait(answer)]
        if waiting:
            waited = _run(_gather([self.functions[place].wait(answers[place]) for place in waiting]))
            for place, answer in zip(waiting, waited, strict=True):
                answers[place] = answer
        columns = {
            function.path: function.numbers(answer, len(samples))
            for function, answer in zip(self.functions, answers, strict=True)
        }
        return [
            combine({name: columns[name][row] for name in self.weights}, weights=self.weights)
            for row in range(len(samples))
        ]

    def try_out(self) -> None:
        """Calls every reward once, on made-up samples, so that a wrong type or length is an error now and
        not after the weights have been read and the first rollout paid for."""
        self(made_up_samples())


def judge_reward(
    text: str,
    record: PreferenceRecord,
    dialect: Dialect,
    *,
    weights: Mapping[str, float],
    truncated: bool = False,
) -> Reward:
    """The reward of one completion; `weights` name the rewards, such as {"format": 1.0, "accuracy": 1.0}.

    A truncated completion (its token limit came first) is no judgement, whatever it says.
    """
    completion = Completion(text=text, finish_reason=FinishReason.LENGTH if truncated else FinishReason.STOP)
    return Rewards.load(weights)([RewardInput.read(completion, record, dialect)])[0]


def made_up_samples() -> list[RewardInput]:
    """A readable judgement of a labelled pair, and an unreadable one."""
    picture = Media(kind=MediaKind.IMAGE, files=("picture.png",))
    record = PreferenceRecord(
        key="made-up", task=Task.IMAGE_GENERATION, text="a red cube", first=picture, second=picture,
        preference=Preference.FIRST,
    )  # fmt: skip
    texts = ("<think>The first is red.</think>\n<answer>Image 1 is better</answer>", "I can't tell.")
    return [RewardInput.read(Completion(text=text, token_ids=(1, 2)), record, Dialect.V1) for text in texts]


def _has_to_wait(answers: Any) -> bool:
    return inspect.isawaitable(answers) or (isinstance(answers, list) and any(map(inspect.isawaitable, answers)))


async def _gather(work: Sequence[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*work))


def _run(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, in a thread of its own where this one already runs a loop (a notebook, an asynchronous
    trainer)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001  (carried to the thread that waits, and raised there)
            errors.append(error)

    thread = threading.Thread(target=run, name="urt-rewards")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
