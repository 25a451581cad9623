"""Several processes, one result: each judges its share and has what all found."""

import threading

import pytest

from tests.urt_core.judging.test_judge import ASKED, Waiting, always_first, record
from urt_core import Completion, Dialect, SamplingParams, Status
from urt_core.comparison import Order
from urt_core.engines import FinishReason
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import ConfigError, EngineError
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked
from urt_core.judging.share import Share
from urt_core.judging.together import judge_together

VOTES = Asked(dialect=Dialect.DIRECT, votes=2, sampling=SamplingParams(temperature=0.7))
RECORDS = [record(number) for number in range(23)]


def together(folder, num, *, engine=ScriptedEngine, asked=ASKED, script=always_first, block=None):
    """What each of `num` processes gets, here threads with a journal of their own each, and the engines they asked."""
    engines = [engine(script=script) for _ in range(num)]
    found: list = [None] * num

    def work(rank):
        with Journal(folder, about={}, rank=rank) as journal:
            found[rank] = judge_together(
                RECORDS,
                engine=engines[rank],
                asked=asked,
                journal=journal,
                share=Share(rank=rank, num=num),
                block=block,
            )

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(num)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, engines


@pytest.mark.parametrize("asked", [ASKED, VOTES], ids=["greedy", "votes"])
@pytest.mark.parametrize("engine", [ScriptedEngine, Waiting])
def test_every_process_has_what_one_alone_would_have(tmp_path, asked, engine):
    alone = judge_together(RECORDS, engine=engine(script=always_first), asked=asked)
    assert [pair.key for pair in alone[:: asked.num_per_pair]] == [record.key for record in RECORDS]
    for num in (2, 3):
        found, engines = together(tmp_path / str(num), num, engine=engine, asked=asked)
        assert found == [alone] * num
        assert sum(len(each.prompts) for each in engines) == 2 * len(RECORDS)


def test_what_an_earlier_run_judged_is_in_the_result_and_not_asked(tmp_path):
    first, _ = together(tmp_path, 1, block=4)
    again, engines = together(tmp_path, 3, block=4)
    assert again == first * 3
    assert [each.prompts for each in engines] == [[], [], []]


def test_a_failed_request_is_a_failure_in_every_process(tmp_path):
    down = Completion(text="", finish_reason=FinishReason.TIMEOUT, detail="no answer in 180 s")

    def script(prompt, index):
        return down if prompt.key in ("pair-0003", "pair-0004") else "Answer 1 is better"

    found, _ = together(tmp_path, 2, script=script, block=1)
    assert found[0] == found[1]
    assert [pair.key for pair in found[0] if pair.status is Status.TIMEOUT] == ["pair-0003"] * 2 + ["pair-0004"] * 2
    assert [pair.order for pair in found[0][:2]] == [Order.GIVEN, Order.SWAPPED]


def test_whoever_waits_for_one_that_has_failed_stops(tmp_path):
    def check():
        raise EngineError("process 1 of 2 ended with code 1")

    with Journal(tmp_path, about={}) as journal, pytest.raises(EngineError, match="process 1 of 2"):
        judge_together(
            RECORDS,
            engine=ScriptedEngine(script=always_first),
            asked=ASKED,
            journal=journal,
            share=Share(rank=0, num=2),
            check=check,
        )


def test_several_processes_need_a_place_to_meet():
    with pytest.raises(ConfigError, match="2 processes judge together, and no journal is given"):
        judge_together(RECORDS, engine=ScriptedEngine(script=always_first), asked=ASKED, share=Share(rank=0, num=2))
