"""The oracle's judgements are what the parser reads, and they say what was constructed."""

import pytest

from urt_core import Dialect, Judgement, SamplingParams, Task, parse_judgement, render
from urt_core.errors import EngineError
from urt_core.prompts import Prompt
from urt_core.rewards import judge_reward
from urt_data.sprites import OracleTeacher, Split, pairs
from urt_data.sprites.oracle import judgement_text


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("task", list(Task))
def test_every_judgement_is_read_as_the_label(task, dialect):
    records = list(pairs(task, 40, split=Split.TRAIN, seed=2))
    teacher = OracleTeacher(records)
    groups = teacher.generate([render(record, dialect) for record in records], SamplingParams())
    for record, (completion,) in zip(records, groups, strict=True):
        judgement = parse_judgement(completion.text, task=task, dialect=dialect)
        assert isinstance(judgement, Judgement), judgement
        assert judgement.verdict is record.preference
        if dialect is not Dialect.DIRECT:
            assert tuple(judgement.scores) == task.dimensions
            assert judgement.sums_consistent is True
            assert judgement.answer_matches_totals is True
            weights = {"format": 1.0, "accuracy": 1.0, "consistency": 1.0}
            assert judge_reward(completion.text, record, dialect, weights=weights).total == 3.0


def test_a_golden_judgement():
    """The text itself, so that a change of wording is seen: the committed base and its tokenizer were made from it."""
    record = next(pairs(Task.IMAGE_GENERATION, 1, split=Split.TEST, seed=0))
    text = judgement_text(record, Dialect.V1)
    lines = text.splitlines()
    assert lines[0] == "<think>"
    assert lines[1].startswith("Image 1, asked/shown: ")
    assert [line.split(":")[0] for line in lines[3:6]] == [
        "1. Semantic consistency",
        "2. Aesthetics",
        "3. Authenticity",
    ]
    assert lines[6] == "Total score:"
    assert lines[-1] == "<answer>Image 1 is better</answer>"


def test_a_prompt_without_a_known_record_is_refused():
    with pytest.raises(EngineError, match="no truth for the prompt with key 'other'"):
        OracleTeacher([]).generate([Prompt(parts=("hello",), key="other", dialect=Dialect.V1)], SamplingParams())
