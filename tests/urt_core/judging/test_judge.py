"""Judging as a stream: any number of processes, kills and engines give the same lines, and no question is asked
twice."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from urt_core import Completion, Dialect, Preference, PreferenceRecord, SamplingParams, Status, Task
from urt_core.comparison import Order
from urt_core.engines import FinishReason
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import ConfigError, EngineError, PromptError
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked, Limits, judge
from urt_core.judging.pairs import JudgedPair
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


class Waiting(ScriptedEngine):
    """An engine that keeps requests in flight and answers them in no order."""

    concurrency = 8

    async def agenerate(self, prompts, sampling):
        await asyncio.sleep(random.random() / 500)
        return self.generate(prompts, sampling)


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


def test_a_line_is_as_the_judge_was_shown_the_pair() -> None:
    given, swapped = judge(
        [record(1, cause="count", item="i1")], engine=ScriptedEngine(script=always_first), asked=ASKED
    )
    assert (given.order, given.label, given.verdict, given.correct) == (Order.GIVEN, "first", "first", True)
    assert (swapped.order, swapped.label, swapped.verdict, swapped.correct) == (Order.SWAPPED, "second", "first", False)
    assert (given.item, given.group, given.status) == ("i1", "count", Status.OK)
    assert JudgedPair.from_json(json.loads(given.to_line())) == given
    assert given.prompt_sha256 != swapped.prompt_sha256


def test_the_two_orders_of_identical_candidates_are_two_questions() -> None:
    same = PreferenceRecord.from_json(
        record(1).to_json()
        | {"second": "Two.", "media": None, "task": "image_understanding"}
        | {"media": {"kind": "image", "files": ["a.png"]}}
    )
    given, swapped = judge([same], engine=ScriptedEngine(script=always_first), asked=ASKED)
    assert given.prompt_sha256 == swapped.prompt_sha256
    assert given.question != swapped.question


def test_orders_are_one_both_or_drawn_by_key() -> None:
    records = [record(number) for number in range(200)]

    def orders(of: str, seed: int = 0) -> list[Order]:
        asked = Asked(dialect=Dialect.DIRECT, orders=of, seed=seed)  # pyright: ignore[reportArgumentType]
        return [pair.order for pair in judge(records, engine=ScriptedEngine(script=always_first), asked=asked)]

    assert orders("given") == [Order.GIVEN] * 200
    assert orders("both") == [Order.GIVEN, Order.SWAPPED] * 200
    drawn = orders("random")
    assert 70 < drawn.count(Order.SWAPPED) < 130
    assert drawn == orders("random") != orders("random", seed=1)


@pytest.mark.parametrize("engine", [ScriptedEngine, Waiting])
@pytest.mark.parametrize("votes", [1, 3])
def test_lines_do_not_depend_on_the_number_of_processes(tmp_path, engine, votes: int) -> None:
    records = [record(number) for number in range(53)]
    asked = Asked(dialect=Dialect.DIRECT, votes=votes, sampling=SamplingParams(temperature=0.7))

    def by_seed(prompt, index) -> str:
        return f"Answer {1 + len(prompt.key + str(index)) % 2} is better"

    found = [
        run(tmp_path / str(num), records, engine=engine(script=by_seed), asked=asked, num=num) for num in (1, 2, 3)
    ]
    assert found[0] == found[1] == found[2]
    assert len(found[0].splitlines()) == 53 * 2 * votes


def test_a_sequence_is_read_only_where_it_is_this_ones_share() -> None:
    class Records(list):
        def __init__(self, *items):
            super().__init__(*items)
            self.read: list[int] = []

        def __getitem__(self, place):
            self.read.append(place)
            return super().__getitem__(place)

    records = Records(record(number) for number in range(10))
    list(judge(records, engine=ScriptedEngine(script=always_first), asked=ASKED, share=Share(rank=1, num=2), block=2))
    assert records.read == [2, 3, 6, 7]


def test_failures_in_a_row_stop_the_run_and_answers_are_kept(tmp_path) -> None:
    down = Completion(text="", finish_reason=FinishReason.TIMEOUT, detail="no answer in 180 s")
    engine = ScriptedEngine(script=lambda prompt, index: "Answer 1 is better" if prompt.key < "pair-0003" else down)
    records = [record(number) for number in range(30)]
    with pytest.raises(EngineError, match=r"failed 5 times in a row.*no answer in 180 s.*the same command goes on"):
        with Journal(tmp_path, about={}) as journal:
            list(
                judge(records, engine=engine, asked=ASKED, journal=journal, limits=Limits(failures_in_a_row=5), block=1)
            )
    assert sum(pair.status is Status.OK for pair in journal.judged()) == 6
    assert len({prompt.key for prompt in engine.prompts}) == 6


def test_unreadable_output_is_a_typed_failure_and_wrong(tmp_path) -> None:
    texts = {"pair-0000": "", "pair-0001": "Both are fine.", "pair-0002": "Answer 1 is better"}
    engine = ScriptedEngine(script=lambda prompt, index: texts[prompt.key])
    asked = Asked(dialect=Dialect.DIRECT, orders="given")
    found = list(judge([record(number) for number in range(3)], engine=engine, asked=asked))
    assert [pair.failure for pair in found] == ["empty", found[1].failure, None]
    assert [pair.correct for pair in found] == [False, False, True]
    assert found[1].status is Status.PARSE_ERROR


def test_of_a_pair_that_is_half_answered_the_other_half_is_asked_where_answers_stand_alone(tmp_path) -> None:
    """A local engine is asked for both: what it computes together decides the last digits."""
    down = Completion(text="", finish_reason=FinishReason.HTTP_ERROR, detail="503")
    records = [record(number) for number in range(3)]

    class Alone(Waiting):
        is_independent = True

    for engine, num_again in ((Alone, 3), (Waiting, 6)):
        folder = tmp_path / engine.__name__
        straight = run(folder / "straight", records, engine=engine(script=always_first))
        asked: list[str] = []

        def odd(prompt, index, asked=asked) -> str | Completion:
            asked.append(prompt.key)
            return down if asked.count(prompt.key) == 2 else "Answer 1 is better"

        run(folder / "resumed", records, engine=engine(script=odd))
        second = engine(script=always_first)
        assert run(folder / "resumed", records, engine=second) == straight
        assert len(second.prompts) == num_again


def test_a_pair_without_a_label_is_judged_and_neither_right_nor_wrong() -> None:
    [pair, _] = judge([record(1, preference=None)], engine=ScriptedEngine(script=always_first), asked=ASKED)
    assert (pair.label, pair.correct, pair.verdict) == (None, None, Preference.FIRST)


def test_a_changed_picture_is_a_new_question(tmp_path) -> None:
    one = record(1)
    other = PreferenceRecord.from_json(one.to_json())
    object.__setattr__(other, "media", Media(kind=MediaKind.IMAGE, files=("a.png",), data=(b"another one",)))
    run(tmp_path, [one], engine=ScriptedEngine(script=always_first))
    engine = ScriptedEngine(script=always_first)
    run(tmp_path, [other], engine=engine)
    assert len(engine.prompts) == 2


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="votes is 2 at temperature 0"):
        Asked(dialect=Dialect.V1, votes=2)
    with pytest.raises(ConfigError, match="orders is 'swapped'"):
        Asked(dialect=Dialect.V1, orders="swapped")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="share is 3 of 3"):
        Share(rank=3, num=3)


CHILD = textwrap.dedent(
    """
    import sys, time
    sys.path.insert(0, sys.argv[4])
    from test_judge import ASKED, record
    from urt_core.engines.scripted import ScriptedEngine
    from urt_core.judging.journal import Journal
    from urt_core.judging.judge import judge
    from urt_core.judging.share import Share
    from pathlib import Path

    folder, rank, num = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    def answer(prompt, index):
        time.sleep(0.001)
        with (folder / f"asked-{rank}").open("a") as file:
            file.write(prompt.key + "\\n")
        return f"Answer {1 + int(prompt.key[-4:]) % 2} is better"

    with Journal(folder, about={}, rank=rank) as journal:
        list(judge([record(n) for n in range(400)], engine=ScriptedEngine(script=answer), asked=ASKED, journal=journal,
                   share=Share(rank=rank, num=num), block=1))
    """
)


def start(folder: Path, rank: int, num: int) -> subprocess.Popen:
    here = str(Path(__file__).parent)
    return subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(rank), str(num), here])


@pytest.mark.slow
@pytest.mark.parametrize("num", [1, 3])
def test_killed_at_twenty_points_by_any_number_of_processes(tmp_path, num: int) -> None:
    """Only what was in flight at a kill, one pair in two orders per process, may be asked a second time."""

    def answer(prompt, index) -> str:
        return f"Answer {1 + int(prompt.key[-4:]) % 2} is better"

    straight = run(
        tmp_path / "straight", [record(n) for n in range(400)], engine=ScriptedEngine(script=answer), block=1
    )
    folder, kills, draw = tmp_path / "killed", 0, random.Random(num)
    while True:
        children = [start(folder, rank, num) for rank in range(num)]
        if kills < 20:
            part = folder / "parts" / "rank-0000.jsonl"
            size = part.stat().st_size if part.exists() else 0
            while (not part.exists() or part.stat().st_size == size) and any(
                child.poll() is None for child in children
            ):
                time.sleep(0.005)
            time.sleep(draw.random() / 50)
            for child in children:
                os.kill(child.pid, signal.SIGKILL)
            kills += 1
        codes = [child.wait() for child in children]
        if codes == [0] * num:
            break
    with Journal(folder, about={}) as journal:
        pass
    journal.finish()
    assert kills == 20
    assert lines_of(folder) == straight
    asked = [key for path in folder.glob("asked-*") for key in path.read_text().splitlines()]
    assert len(asked) <= 800 + 2 * num * kills


def test_one_prompt_that_the_engine_cannot_take_costs_its_own_pair(tmp_path) -> None:
    def answer(prompt, index) -> str:
        if prompt.key == "pair-0002":
            raise PromptError("the prompt is longer than the context")
        return "Answer 1 is better"

    records = [record(number) for number in range(6)]
    asked = Asked(dialect=Dialect.DIRECT, orders="given")
    found = list(judge(records, engine=ScriptedEngine(script=answer), asked=asked, block=6))
    assert [pair.verdict is None for pair in found] == [False, False, True, False, False, False]
    assert "longer than the context" in found[2].detail
