"""A run in this process: what its folder holds, and what has to be equal for it to go on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.urt_core.bench.suites.judges import records, steady
from urt_core import Dialect, SamplingParams
from urt_core.bench.run import finish_run, read_about, rescore_run, run_share, wait_for_all, what_it_depends_on
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import DataError
from urt_core.judging.judge import Asked
from urt_core.judging.share import Share

ASKED = Asked(dialect=Dialect.DIRECT, sampling=SamplingParams(max_tokens=16))


def about(engine, *, num: int, asked: Asked = ASKED) -> dict:
    return what_it_depends_on(
        benchmark="pairs",
        engine=engine,
        asked=asked,
        data={"num_in_set": num},
        judge_identity={"sha256": "9f"},
        block=None,
    )


def run(folder: Path, engine, *, num: int = 8, share: Share | None = None, **options):
    return run_share(
        folder,
        records(num),
        engine=engine,
        asked=ASKED,
        about=about(engine, num=num),
        share=share or Share(),
        **options,
    )


def test_a_finished_run_holds_lines_numbers_table_and_versions(tmp_path: Path) -> None:
    seen: list = []
    engine = ScriptedEngine(script=steady)
    result = finish_run(tmp_path, run(tmp_path, engine, seen=seen.append))
    assert len(seen) == result.n_total == 16  # eight pairs in both orders
    assert (result.values["accuracy"], result.is_complete) == (100.0, True)
    assert json.loads((tmp_path / "result.json").read_text()) == result.to_json()
    assert "| 100.00 (" in (tmp_path / "table.md").read_text()
    assert {"urt-core", "pillow"} <= json.loads((tmp_path / "versions.json").read_text()).keys()
    assert rescore_run(tmp_path).values == result.values


def test_a_run_that_is_there_asks_nothing_again(tmp_path: Path) -> None:
    run(tmp_path, ScriptedEngine(script=steady))
    again = ScriptedEngine(script=steady)
    assert run(tmp_path, again).num_judged() == 16
    assert again.prompts == []


def test_two_shares_are_the_whole_and_the_first_waits_for_the_second(tmp_path: Path) -> None:
    engine = ScriptedEngine(script=steady)
    journal = run(tmp_path, engine, share=Share(rank=0, num=2))
    assert journal.num_judged() < 16

    def judge_the_rest() -> None:
        run(tmp_path, engine, share=Share(rank=1, num=2))

    wait_for_all(journal, 16, check=judge_the_rest)
    assert journal.num_judged() == 16
    assert finish_run(tmp_path, journal).values["accuracy"] == 100.0


def test_waiting_ends_where_another_process_has_failed(tmp_path: Path) -> None:
    journal = run(tmp_path, ScriptedEngine(script=steady), share=Share(rank=0, num=2))

    def failed() -> None:
        raise DataError("process 1 has failed")

    with pytest.raises(DataError, match="process 1"):
        wait_for_all(journal, 16, check=failed)


def test_what_a_run_depends_on_names_judge_pairs_and_questions() -> None:
    engine = ScriptedEngine(script=steady)
    found = about(engine, num=8)
    assert found["judge"] == {"model": engine.model, "sha256": "9f"}
    assert found["asked"]["dialect"] == "direct"
    assert found["asked"]["sampling"]["max_tokens"] == 16
    assert about(engine, num=8, asked=replace(ASKED, orders="given")) != found


@pytest.mark.parametrize("content", [None, "{", "[]", '{"benchmark": "pairs"}'])
def test_a_folder_that_is_no_run_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "about.json").write_text(content)
    with pytest.raises(DataError, match=r"no folder of `urt bench run` \(about.json"):
        read_about(tmp_path)
