"""The journal of a run: one writer, whole lines, one judge, and nothing asked twice."""

import json
from pathlib import Path

import pytest

from urt_core import Completion, Dialect, Preference, PreferenceRecord, Task
from urt_core.engines import FinishReason
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import DataError
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked, judge
from urt_core.judging.share import Share
from urt_core.records import Media, MediaKind

ASKED = Asked(dialect=Dialect.DIRECT)


def record(number: int, *, preference: Preference | None = Preference.FIRST, **metadata) -> PreferenceRecord:
    return PreferenceRecord(
        key=f"pair-{number:04d}",
        task=Task.IMAGE_UNDERSTANDING,
        text=f"How many? ({number})",
        first="Two.",
        second="Three.",
        media=Media(kind=MediaKind.IMAGE, files=("a.png",), data=(b"no image, and never opened",)),
        preference=preference,
        metadata=metadata,
    )


def always_first(prompt, index) -> str:
    return "Answer 1 is better"


def lines_of(folder: Path) -> str:
    return (folder / "judgements.jsonl").read_text()


def run(folder: Path, records, *, engine, asked=ASKED, num: int = 1, **options) -> str:
    for rank in range(num):
        with Journal(folder, about={"judge": "a"}, rank=rank) as journal:
            list(
                judge(records, engine=engine, asked=asked, journal=journal, share=Share(rank=rank, num=num), **options)
            )
    journal.finish()
    return lines_of(folder)


def test_a_run_that_goes_on_asks_only_what_has_no_answer(tmp_path) -> None:
    records = [record(number) for number in range(20)]
    straight = run(tmp_path / "straight", records, engine=ScriptedEngine(script=always_first), block=4)
    first = ScriptedEngine(script=always_first)
    with Journal(tmp_path / "two", about={"judge": "a"}) as journal:
        for number, _ in enumerate(judge(records, engine=first, asked=ASKED, journal=journal, block=4)):
            if number == 17:
                break
    second = ScriptedEngine(script=always_first)
    assert run(tmp_path / "two", records, engine=second, block=4) == straight
    asked = [(prompt.key, prompt.text) for prompt in first.prompts + second.prompts]
    assert len(asked) == len(set(asked)) == 40


def test_requests_that_failed_are_asked_again_and_are_lines_until_then(tmp_path) -> None:
    down = Completion(text="", finish_reason=FinishReason.HTTP_ERROR, detail="503")
    flaky = ScriptedEngine(script=lambda prompt, index: down if prompt.key == "pair-0001" else "Answer 2 is better")
    records = [record(number) for number in range(4)]
    before = [json.loads(line) for line in run(tmp_path, records, engine=flaky).splitlines()]
    assert [line["status"] for line in before] == ["ok", "ok", "http_error", "http_error", "ok", "ok", "ok", "ok"]
    engine = ScriptedEngine(script=always_first)
    after = [json.loads(line) for line in run(tmp_path, records, engine=engine, block=1).splitlines()]
    assert [prompt.key for prompt in engine.prompts] == ["pair-0001"] * 2
    assert [line["status"] for line in after] == ["ok"] * 8


def test_a_journal_of_another_judge_is_refused_by_what_differs(tmp_path) -> None:
    with Journal(tmp_path, about={"model": "a", "temperature": 0}):
        pass
    with pytest.raises(DataError, match=r"about\.json.*model was 'a', is 'b'.*another folder"):
        with Journal(tmp_path, about={"model": "b", "temperature": 0}):
            pass


def test_of_settings_that_are_nested_the_ones_that_differ_are_said(tmp_path) -> None:
    with Journal(
        tmp_path, about={"asked": {"votes": 1, "sampling": {"temperature": 0.0, "stop": []}}, "data": {"n": 3}}
    ):
        pass
    with pytest.raises(DataError) as refused:
        with Journal(
            tmp_path, about={"asked": {"votes": 3, "sampling": {"temperature": 0.7, "stop": []}}, "data": {"n": 3}}
        ):
            pass
    said = str(refused.value).partition("(")[2].partition(")")[0]
    assert said == "asked.votes was 1, is 3; asked.sampling.temperature was 0.0, is 0.7"
    (tmp_path / "about.json").write_text("[]")
    with pytest.raises(DataError, match=r"about\.json is a JSON list, and no object; name another folder"):
        with Journal(tmp_path, about={}):
            pass


def test_lines_of_before_there_was_a_status_are_answers(tmp_path) -> None:
    records = [record(number) for number in range(3)]
    run(tmp_path, records, engine=ScriptedEngine(script=always_first), block=1)
    part = tmp_path / "parts" / "rank-0000.jsonl"
    lines = [json.loads(line) for line in part.read_text().splitlines()]
    older = [{name: value for name, value in line.items() if name not in ("schema", "status")} for line in lines]
    part.write_text("".join(f"{json.dumps(line)}\n" for line in older))
    engine = ScriptedEngine(script=always_first)
    assert [json.loads(line) for line in run(tmp_path, records, engine=engine, block=1).splitlines()] == older
    assert not engine.prompts


@pytest.mark.parametrize(
    "change",
    [{"question": ["a"]}, {"question": None, "key": ["a"]}, {"status": "fine"}, {"status": []}, {"key": {}}],
    ids=str,
)
def test_a_line_whose_fields_are_none_of_a_judgement_is_named(tmp_path, change) -> None:
    run(tmp_path, [record(number) for number in range(3)], engine=ScriptedEngine(script=always_first), block=1)
    part = tmp_path / "parts" / "rank-0000.jsonl"
    lines = part.read_text().splitlines(keepends=True)
    lines[2] = json.dumps(json.loads(lines[2]) | change) + "\n"
    part.write_text("".join(lines))
    with pytest.raises(DataError, match=r"rank-0000\.jsonl, line 3: is no judgement .*; remove the line"):
        run(tmp_path, [record(0)], engine=ScriptedEngine(script=always_first))


def test_one_process_at_a_time_writes_a_part(tmp_path) -> None:
    with Journal(tmp_path, about={}):
        with pytest.raises(DataError, match="being written by another process"):
            with Journal(tmp_path, about={}):
                pass


def test_half_a_line_is_cut_off_and_a_broken_one_is_named(tmp_path) -> None:
    records = [record(number) for number in range(6)]
    straight = run(tmp_path / "a", records, engine=ScriptedEngine(script=always_first), block=1)
    part = tmp_path / "a" / "parts" / "rank-0000.jsonl"
    part.write_bytes(part.read_bytes()[:-40])
    assert run(tmp_path / "a", records, engine=ScriptedEngine(script=always_first), block=1) == straight
    part.write_bytes(b'{"key": }\n' + part.read_bytes())
    with pytest.raises(DataError, match=r"rank-0000\.jsonl, line 1: is no judgement.*remove the line"):
        run(tmp_path / "a", records, engine=ScriptedEngine(script=always_first))
