"""A contract with a stated confidence: asked in the words of v1, read by its parser, paid for by the built-in reward."""

from typing import Any

import pytest

from tests.examples.test_length_reward import RECORD
from urt_core import Completion, Dialect, Judgement, Preference, Task, load_contract, parse_judgement, render
from urt_core.contracts import contract_of
from urt_core.engines.scripted import ScriptedEngine
from urt_core.judging.judge import Asked, judge
from urt_core.rewards import RewardInput, Rewards
from urt_data.sprites.oracle import judgement_text
from urt_data.sprites.pairs import pairs
from urt_data.sprites.world import Split
from urt_train.cli import compose
from urt_train.stages.grpo import SPEC

CONTRACT = "confidence_reward:CONFIDENT"
JUDGEMENT = "<think>The first shows a cube, the second none.</think>\n<answer>Image 1 is better</answer>"


@pytest.fixture
def dialect(copied) -> Dialect:
    copied("confidence_reward")
    return load_contract(CONTRACT)


@pytest.mark.parametrize("task", Task)
def test_it_is_asked_in_every_word_of_v1_and_in_one_sentence_more(dialect, task: Task) -> None:
    [record] = pairs(task, 1, split=Split.TEST, seed=0)
    asked, plain = render(record, dialect), render(record, Dialect.V1)
    assert asked.media == plain.media
    [sentence] = [piece for piece in asked.text.split(" Then") if "<confidence>" in piece]
    sentence = f" Then{sentence.partition('</confidence>.')[0]}</confidence>."
    assert asked.text.replace(sentence, "") == plain.text


@pytest.mark.parametrize("task", Task)
def test_what_v1_reads_is_read_with_its_confidence(dialect, task: Task) -> None:
    [record] = pairs(task, 1, split=Split.TEST, seed=0)
    text = judgement_text(record, Dialect.V1)
    plain = parse_judgement(text, task=task, dialect=Dialect.V1)
    stated = parse_judgement(f"{text}\n<confidence>0.7</confidence>\n", task=task, dialect=dialect)
    assert isinstance(plain, Judgement)
    assert isinstance(stated, Judgement)
    assert stated.confidence == 0.7
    assert (stated.verdict, stated.scores, stated.totals, stated.sums_consistent) == (
        plain.verdict, plain.scores, plain.totals, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("end", "confidence", "has_shape"),
    [
        ("\n<confidence>0.8</confidence>", 0.8, True),
        ("\n<confidence>0</confidence>\n", 0.0, True),
        ("\n<confidence>1.0</confidence>", 1.0, True),
        ("\n<confidence>1.2</confidence>", None, False),
        ("\n<confidence>-0.1</confidence>", None, False),
        ("\n<confidence>nan</confidence>", None, False),
        ("\n<confidence>0.8</confidence> or so", None, False),
        ("<confidence>0.8</confidence>", None, False),
        ("", None, False),
    ],
)
def test_only_the_last_line_states_it_and_the_verdict_stands_without(dialect, end, confidence, has_shape) -> None:
    found = parse_judgement(JUDGEMENT + end, task=RECORD.task, dialect=dialect)
    assert isinstance(found, Judgement)
    assert (found.verdict, found.confidence) == (Preference.FIRST, confidence)
    assert contract_of(dialect).has_shape(JUDGEMENT + end, found) is has_shape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (JUDGEMENT + "\n<confidence>1</confidence>", 2.0),
        (JUDGEMENT + "\n<confidence>0.5</confidence>", 1.75),
        (JUDGEMENT.replace("Image 1 is", "Image 2 is") + "\n<confidence>0.5</confidence>", 0.75),
        (JUDGEMENT, -1.0),
        ("<confidence>0.8</confidence>", -1.0),
    ],
)
def test_format_and_confidence_pay_for_it(dialect, text: str, expected: float) -> None:
    rewards = Rewards.load({"format": 1.0, "confidence": 1.0})
    [found] = rewards([RewardInput.read(Completion(text=text), RECORD, dialect)])
    assert found.total == pytest.approx(expected, abs=1e-12)


def test_a_judged_pair_keeps_what_was_stated(dialect) -> None:
    engine = ScriptedEngine(script=lambda prompt, index: JUDGEMENT + "\n<confidence>0.6</confidence>")
    found = list(judge([RECORD], engine=engine, asked=Asked(dialect=dialect, orders="both")))
    assert [pair.confidence for pair in found] == [0.6, 0.6]


def test_the_trainer_takes_both_from_the_command_line(dialect) -> None:
    config = compose(["stage=grpo", f"judge.dialect={CONTRACT}", "grpo.rewards={format: 1, confidence: 1}"])
    settings: Any = config.stage_config
    assert settings.rewards == {"format": 1.0, "confidence": 1.0}
    SPEC.check(settings, Dialect(config.judge.dialect))
