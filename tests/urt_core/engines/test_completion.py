import pytest

from urt_core import Completion, FinishReason, SamplingParams, Status, Usage
from urt_core.engines import AsyncEngine, Engine
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import ConfigError


def test_every_finish_reason_has_a_status() -> None:
    statuses = {reason: Completion(text="", finish_reason=reason).status for reason in FinishReason}
    assert statuses[FinishReason.STOP] is Status.OK
    assert statuses[FinishReason.LENGTH] is Status.TRUNCATED
    assert set(statuses.values()) == set(Status) - {
        Status.PARSE_ERROR,
        Status.ALONE,
        Status.INCOMPLETE,
    }  # which no engine can find


def test_usage_adds_up() -> None:
    usage = Usage(prompt_tokens=3, completion_tokens=5) + Usage(prompt_tokens=10)
    assert usage == Usage(prompt_tokens=13, completion_tokens=5)


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"max_tokens": 0},
        {"num_completions": 0},
    ],
)
def test_impossible_sampling_is_refused(changes: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        SamplingParams(**changes)


def test_the_scripted_engine_is_an_engine() -> None:
    engine = ScriptedEngine(script=[])
    assert isinstance(engine, Engine)
    assert isinstance(engine, AsyncEngine)
