"""A reward of a user's own, in every form that the door takes, and in the forms it refuses."""

import asyncio
import math
import time
from pathlib import Path

import pytest

from urt_core import Completion, Dialect, ParseFailure
from urt_core.engines import FinishReason
from urt_core.errors import ConfigError, RewardError
from urt_core.rewards import BUILT_IN, Reward, RewardInput, Rewards, load_reward, made_up_samples

PLUGIN = """
import asyncio
from collections.abc import Sequence
from fractions import Fraction

import numpy

from urt_core.rewards import RewardInput


def length(sample: RewardInput) -> float:
    return -float(len(sample.text))

def untyped(sample):
    return 0.5

def other_name(given: RewardInput, *, scale: float = 2.0) -> float:
    return scale

def batched(samples):
    return [float(number) for number, _ in enumerate(samples)]

def typed_batch(given: Sequence[RewardInput]) -> Sequence[float]:
    return numpy.arange(len(given), dtype=numpy.float32)

async def asks(sample):
    await asyncio.sleep(0.2)
    return 1

async def asks_for_all(samples):
    await asyncio.sleep(0)
    return tuple(True for _ in samples)

def says_nothing(sample):
    return float("nan")

class Counter:
    calls = 0
    def __call__(self, sample):
        self.calls += 1
        return self.calls
    async def wait(self, sample):
        return Fraction(1, 4)

counter = Counter()

def takes_none(): return 1.0
def takes_two(sample, other): return 1.0
def wrong_name(command): return 1.0
def needs_more(sample, *, scale): return 1.0
number = 3
def raises(sample): return {}["x"]
def text(sample): return "1.0"
def nothing(sample): return None
def infinite(sample): return float("inf")
def huge(sample): return 10**400
def short(samples): return [1.0]
def one_for_all(samples): return 1.0
def letters(samples): return "ab"
def wrapped(sample): return asks(sample)
def by_place(samples): return dict.fromkeys(range(len(samples)), 1.0)
def unordered(samples): return {float(place) for place, _ in enumerate(samples)}
def one_array(samples): return numpy.array(1.0)
def runs_dry(sample): return next(iter(()))
def leaves(sample): raise SystemExit(0)
async def leaves_later(sample): raise SystemExit(0)
async def leaves_with_all(samples): raise SystemExit(0)
def cancels(sample): raise asyncio.CancelledError("by hand")
async def cancels_later(sample): raise asyncio.CancelledError("by hand")
async def cancels_with_all(samples): raise asyncio.CancelledError("by hand")
def two_lines(sample): raise ValueError("no card\\n  in slot 1")
"""


@pytest.fixture(autouse=True)
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_rewards.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "broken_rewards.py").write_text("raise SystemError('no such card')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("length", [-67.0, -13.0]),
        ("untyped", [0.5, 0.5]),
        ("other_name", [2.0, 2.0]),
        ("batched", [0.0, 1.0]),
        ("typed_batch", [0.0, 1.0]),
        ("asks", [1.0, 1.0]),
        ("asks_for_all", [1.0, 1.0]),
        ("wrapped", [1.0, 1.0]),
        ("counter.wait", [0.25, 0.25]),
    ],
)
def test_every_form_gives_a_number_per_sample(name: str, expected: list[float]) -> None:
    path = f"own_rewards:{name}"
    samples = made_up_samples()
    earned = Rewards.load({path: 2.0, "format": 1.0})(samples)
    assert [reward.parts[path] for reward in earned] == expected
    assert [reward.total for reward in earned] == [2 * expected[0] + 1, 2 * expected[1]]


def test_an_object_that_is_called_keeps_its_state() -> None:
    rewards = Rewards.load({"own_rewards:counter": 1.0})
    assert [reward.total for reward in rewards(made_up_samples())] == [1.0, 2.0]
    assert [reward.total for reward in rewards(made_up_samples())] == [3.0, 4.0]


def test_a_reward_that_could_not_say_leaves_the_total_open() -> None:
    earned = Rewards.load({"own_rewards:says_nothing": 0.5, "accuracy": 1.0})(made_up_samples())
    assert all(math.isnan(reward.total) for reward in earned)
    assert [reward.parts["accuracy"] for reward in earned] == [1.0, 0.0]


def test_asynchronous_rewards_wait_together_also_inside_a_running_loop() -> None:
    """Twenty calls of 0.2 s one after another would be 4 s."""
    rewards = Rewards.load({"own_rewards:asks": 1.0})

    async def inside() -> list[Reward]:
        return rewards(made_up_samples() * 10)

    started = time.perf_counter()
    assert [reward.total for reward in asyncio.run(inside())] == [1.0] * 20
    assert time.perf_counter() - started < 2.0


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("own_rewards:takes_none", r"takes_none\(\)"),
        ("own_rewards:takes_two", r"takes_two\(sample, other\)"),
        ("own_rewards:needs_more", r"needs_more\(sample, \*, scale\)"),
        ("own_rewards:wrong_name", r"wrong_name\(command\)"),
        ("own_rewards:number", "a int"),
        ("os:system", r"system\(command\)"),
        ("own_rewards:missing", "has no 'missing'"),
        ("own_rewards:counter.missing", "has no 'counter.missing'"),
        ("no_such_module:reward", "does not import .ModuleNotFoundError"),
        ("broken_rewards:reward", "does not import .SystemError: no such card"),
        ("length", "allowed: format, accuracy, consistency"),
        ("own_rewards.length", "allowed: format"),
        ("", "allowed: format"),
        ("../own_rewards:length", "allowed: format"),
    ],
)
def test_what_is_no_reward_is_refused_by_path_found_and_expected(path: str, found: str) -> None:
    with pytest.raises(ConfigError, match=found) as caught:
        Rewards.load({path: 1.0})
    message = str(caught.value)
    assert repr(path) in message
    assert "def reward(sample: RewardInput) -> float" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("raises", "raised KeyError: 'x'"),
        ("text", "returned a str for a sample"),
        ("nothing", "returned a NoneType for a sample"),
        ("infinite", "returned inf for a sample"),
        ("huge", "returned inf for a sample"),
        ("short", "returned 1 values for 2 samples"),
        ("one_for_all", "returned a float"),
        ("letters", "returned a str"),
        ("by_place", "returned a dict"),
        ("unordered", "returned a set"),
        ("one_array", "returned a ndarray"),
        ("runs_dry", "raised StopIteration"),
        ("leaves", "raised SystemExit: 0"),
        ("leaves_later", "raised SystemExit: 0"),
        ("leaves_with_all", "raised SystemExit: 0"),
        ("cancels", "raised CancelledError: by hand"),
        ("cancels_later", "raised CancelledError: by hand"),
        ("cancels_with_all", "raised CancelledError: by hand"),
        ("two_lines", "raised ValueError: no card in slot 1;"),
    ],
)
def test_a_wrong_value_is_found_by_trying_out(name: str, found: str) -> None:
    with pytest.raises(RewardError, match=found) as caught:
        Rewards.load({f"own_rewards:{name}": 1.0}).try_out()
    assert f"'own_rewards:{name}'" in str(caught.value)
    assert "expected: def reward" in str(caught.value)


def test_trying_out_is_silent_where_all_is_well() -> None:
    Rewards.load(dict.fromkeys([*BUILT_IN, "own_rewards:asks", "own_rewards:typed_batch"], 1.0)).try_out()


def test_an_unknown_name_is_never_another_reward() -> None:
    """A table that grows gives the new name its own function."""
    with pytest.raises(ConfigError, match="'length'"):
        Rewards.load({"length": 1.0, "consistency": 1.0})
    assert load_reward("consistency").function is BUILT_IN["consistency"]
    assert len({load_reward(name).function for name in BUILT_IN}) == len(BUILT_IN)


def test_a_truncated_completion_is_told_to_rewards_of_ones_own() -> None:
    sample = made_up_samples()[0]
    cut = Completion(text=sample.text, finish_reason=FinishReason.LENGTH)
    read = RewardInput.read(cut, sample.record, Dialect.V1)
    assert read.truncated
    assert not sample.truncated
    assert isinstance(read.judgement, ParseFailure)


def test_no_samples_earn_nothing() -> None:
    assert Rewards.load({"accuracy": 1.0, "own_rewards:batched": 1.0, "own_rewards:asks": 1.0})([]) == []
