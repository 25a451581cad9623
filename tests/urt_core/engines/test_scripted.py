import asyncio

import pytest

from urt_core import Completion, FinishReason, Prompt, SamplingParams
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import EngineError

PROMPTS = [Prompt(parts=("a",), key="one"), Prompt(parts=("b",), key="two")]
TWICE = SamplingParams(num_completions=2, temperature=1.0)


def texts(answers: list[list[Completion]]) -> list[list[str]]:
    return [[completion.text for completion in group] for group in answers]


def test_a_list_is_used_up_in_order() -> None:
    engine = ScriptedEngine(script=["1", "2", Completion(text="", finish_reason=FinishReason.TIMEOUT), "4"])
    assert texts(engine.generate(PROMPTS, TWICE)) == [["1", "2"], ["", "4"]]
    assert engine.prompts == PROMPTS
    with pytest.raises(EngineError, match="4 answers and all are used"):
        engine.generate(PROMPTS[:1], SamplingParams())


def test_a_function_sees_the_prompt_and_the_index() -> None:
    engine = ScriptedEngine(script=lambda prompt, index: f"{prompt.key}{index}")
    assert texts(engine.generate(PROMPTS, TWICE)) == [["one0", "one1"], ["two0", "two1"]]


def test_a_mapping_answers_by_key() -> None:
    engine = ScriptedEngine(script={"one": "1"})
    assert texts(asyncio.run(engine.agenerate(PROMPTS[:1], TWICE))) == [["1", "1"]]
    with pytest.raises(EngineError, match="'two'"):
        engine.generate(PROMPTS, SamplingParams())
