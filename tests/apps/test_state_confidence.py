"""Traces with a stated confidence from made-up votes, what a measured judge is said to be worth, and a real judge on a few pairs."""

from dataclasses import replace

import pytest
from state_confidence import main, measured_rows, sprites, traces_of, write_traces

from tests.examples.conftest import copied as copied
from urt_core import (
    Dialect,
    Judgement,
    Media,
    Preference,
    PreferenceRecord,
    SamplingParams,
    Task,
    load_contract,
    parse_judgement,
)
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import ConfigError, DataError
from urt_core.example import JUDGE
from urt_core.judging.judge import Asked, judge
from urt_core.judging.pairs import JudgedPair
from urt_data import ShardFolder
from urt_data.sprites.world import Split

VOTES = Asked(dialect=Dialect.V1, votes=2, sampling=SamplingParams(temperature=0.8))
FIRST, SECOND = Preference.FIRST, Preference.SECOND


def says_the_first(prompt, index) -> str:
    assert prompt.task is not None
    return f"<think>seen</think>\n<answer>{prompt.task.noun} 1 is better</answer>"


@pytest.fixture(scope="module")
def record() -> PreferenceRecord:
    return sprites(Split.POOL, 1, seed=0)[0]


@pytest.fixture(scope="module")
def cast(record) -> list[JudgedPair]:
    """Two votes as given and two in the swapped order."""
    return list(judge([record], engine=ScriptedEngine(script=says_the_first), asked=VOTES))


@pytest.mark.parametrize(
    ("verdicts", "stated"),
    [
        ((FIRST, FIRST, SECOND, SECOND), ["1.0", "1.0"]),  # the swapped order's second is the record's first
        (
            (FIRST, FIRST, FIRST, SECOND),
            ["0.8", "0.2"],
        ),  # of the record's first three in four; the trace names the other
        ((FIRST, FIRST, FIRST, FIRST), ["0.5", "0.5"]),
        ((None, FIRST, SECOND, SECOND), ["1.0", "1.0"]),  # an unreadable vote has no say
        ((None, None, SECOND, FIRST), ["0.5"]),
        ((None, None, None, None), []),
    ],
)
def test_a_trace_states_the_share_of_votes_for_what_it_names(record, cast, verdicts, stated) -> None:
    voted = [replace(pair, verdict=verdict) for pair, verdict in zip(cast, verdicts, strict=True)]
    traces = list(traces_of(record, voted))
    assert [(trace.completion or "").partition("</answer>")[2] for trace in traces] == [
        f"\n<confidence>{confidence}</confidence>" for confidence in stated
    ]
    assert all(trace.preference is None for trace in traces)


def test_the_shards_hold_both_orders_and_the_labelled_pool(copied, tmp_path) -> None:
    copied("confidence_reward")
    contract = load_contract("confidence_reward:CONFIDENT")
    records = sprites(Split.POOL, 1, seed=0)
    stated = write_traces(
        records,
        engine=ScriptedEngine(script=says_the_first),
        asked=VOTES,
        contract=contract,
        output=tmp_path / "out",
        seed=0,
    )
    assert stated == {"0.5": 8}  # a judge that names what it is shown first agrees with itself half of the time
    traces, pool = ShardFolder(tmp_path / "out" / "traces"), ShardFolder(tmp_path / "out" / "pool")
    assert [found.preference for found in pool] == [record.preference for record in records]
    given, swapped = list(traces)[:2]
    shown = [
        side.data for side in (given.first, given.second, swapped.second, swapped.first) if isinstance(side, Media)
    ]
    assert len(shown) == 4
    assert shown[:2] == shown[2:]
    read = parse_judgement(given.completion or "", task=given.task, dialect=contract)
    assert isinstance(read, Judgement)
    assert (read.verdict, read.confidence) == (FIRST, 0.5)


def test_a_contract_that_cannot_read_the_traces_and_a_judge_that_says_nothing_are_refused(tmp_path) -> None:
    records = sprites(Split.POOL, 1, seed=0)[:1]
    for engine, said, expected in (
        (ScriptedEngine(script=says_the_first), ConfigError, "it has to read a judgement of v1"),
        (ScriptedEngine(script=lambda prompt, index: "no"), DataError, "none was judged readably"),
    ):
        with pytest.raises(said, match=expected):
            write_traces(records, engine=engine, asked=VOTES, contract=Dialect.V1, output=tmp_path / "out", seed=0)


def test_the_error_is_of_the_stated_confidence_and_unreadable_is_wrong(cast) -> None:
    """Right at 0.9, wrong at 0.9, right without one, unreadable: |1/2 - 0.9| over the two that state one."""
    pair = replace(cast[0], correct=True, confidence=0.9)
    found = [
        pair,
        replace(pair, correct=False),
        replace(pair, confidence=None),
        replace(pair, correct=False, verdict=None, confidence=None),
    ]
    *_, whole = measured_rows(found, seed=0)
    assert whole.startswith("| all | 4 | 50.0% (")
    assert "| 50.0% | 0.900 | 0.400 |" in whole
    *_, without = measured_rows([replace(pair, confidence=None)], seed=0)
    assert without.endswith("| 0.0% | - | - | - |")


def test_of_the_judge_that_ships(copied, tmp_path, capsys) -> None:
    copied("confidence_reward")
    main(["--model", "embedded:judge", "--pairs", "1", "--votes", "2", "--output", str(tmp_path / "out")])
    assert "traces in" in capsys.readouterr().out
    assert (tmp_path / "out" / "start" / "model.safetensors").is_file()
    assert not (tmp_path / "out" / "start" / "judge.json").exists()
    main(["--measure", str(JUDGE), "--pairs", "1"])
    assert capsys.readouterr().out.count("| 1 | ") == len(Task)
