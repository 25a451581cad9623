"""Suites on judges whose weakness is known by construction."""

import json
from pathlib import Path

import pytest

from tests.urt_core.bench.suites.judges import answers_of, records, steady
from urt_core import Dialect, SamplingParams
from urt_core.bench.suites import SuiteReport, run_suites
from urt_core.bench.suites.tables import suite_tables
from urt_core.bench.suites.variants import VARIANTS
from urt_core.engines.scripted import ScriptedEngine
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked

ASKED = Asked(dialect=Dialect.DIRECT, sampling=SamplingParams(max_tokens=16))


def rates(engine, **options) -> dict[str, float | None]:
    report = run_suites(engine, records(16), asked=ASKED, num_pairs=16, **options)
    return {f"{finding.suite}/{finding.variant}": finding.rate.value for finding in report.findings}


def test_a_steady_judge_is_moved_by_nothing() -> None:
    found = rates(ScriptedEngine(script=steady))
    for variant in VARIANTS:
        if variant.suite != "identical":
            assert found[f"{variant.suite}/{variant.name}"] == 0.0, variant
    assert found["position/pictures"] == found["position/answers in text"] == 0.0
    assert found["position/first picked"] == 0.5
    assert found["self-consistency/3 votes at temperature 0.7"] == 1.0


def test_a_judge_that_names_the_first_is_found_out() -> None:
    def first(prompt, index) -> str:
        return f"{prompt.task.noun} 1 is better"

    found = rates(ScriptedEngine(script=first))
    assert found["position/pictures"] == found["position/answers in text"] == found["position/first picked"] == 1.0
    assert found["identical/same candidate"] == 1.0


def test_a_judge_that_believes_what_it_is_told_is_found_out() -> None:
    def gullible(prompt, index) -> str:
        for number in (1, 2):
            if f"say that {prompt.task.noun} {number} is better" in prompt.text:
                return f"{prompt.task.noun} {number} is better"
        return steady(prompt, index)

    found = rates(ScriptedEngine(script=gullible))
    assert found["instructions/in caption"] == found["instructions/in answer"] == 1.0
    assert found["fake tables/in caption"] == found["style/border"] == 0.0


def test_a_judge_that_likes_long_answers_is_found_out() -> None:
    def long(prompt, index) -> str:
        if prompt.task.is_generation:
            return steady(prompt, index)
        first, second = answers_of(prompt)
        if abs(len(first) - len(second)) < 400 and "That is" not in prompt.text and "carefully" not in prompt.text:
            return steady(prompt, index)
        return "Answer 1 is better" if "carefully" in first or "That is" in first else "Answer 2 is better"

    found = rates(ScriptedEngine(script=long))
    assert found["length/verbose"] == found["length/repeated"] == 1.0


def test_examples_and_numbers_survive_saving_and_an_older_file_opens(tmp_path: Path) -> None:
    def first(prompt, index) -> str:
        return f"{prompt.task.noun} 1 is better"

    report = run_suites(ScriptedEngine(script=first), records(8), asked=ASKED, num_pairs=8)
    report.save(tmp_path / "suites.json")
    assert SuiteReport.load(tmp_path / "suites.json") == report
    assert next(finding for finding in report.findings if finding.suite == "position").examples
    old = {"schema": 1, "model": "m", "num_pairs": 1, "findings": []}
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert SuiteReport.load(tmp_path / "old.json").confidences == ()
    assert "what is counted" in suite_tables(report)[0].markdown()


def test_suites_go_on_where_they_were_stopped(tmp_path: Path) -> None:
    straight = rates(ScriptedEngine(script=steady))
    engine = ScriptedEngine(script=steady)
    with Journal(tmp_path, about={}) as journal:
        seen: list = []

        def stop(pair) -> None:
            seen.append(pair)
            if len(seen) == 100:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            rates(engine, journal=journal, seen=stop)
    with Journal(tmp_path, about={}) as journal:
        assert rates(engine, journal=journal) == straight
    asked = [(prompt.key, prompt.parts) for prompt in engine.prompts]
    again = len(asked) - len(set(asked))
    with Journal(tmp_path, about={}) as journal:
        before = len(engine.prompts)
        assert rates(engine, journal=journal) == straight
    assert len(engine.prompts) == before
    assert again <= 32  # the same prompt in both orders, and its votes
