"""Judging beside the loop that answers: so many at a time, so many that wait, so long for each, and what is given up
ends."""

import asyncio
import time

import pytest

from urt_core.server.metrics import Metrics
from urt_core.server.problems import Problem
from urt_core.server.settings import ServerSettings
from urt_core.server.work import Work


class Judging:
    """Coroutines that wait for `go`, and who ran at the same time."""

    def __init__(self):
        self.go, self.running, self.most_running, self.cancelled = False, 0, 0, 0

    async def judge(self):
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            while not self.go:
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return "judged"


def run(main, **settings):
    async def with_work():
        judging = Judging()
        await main(Work(settings=ServerSettings(**settings), metrics=Metrics()), judging)

    asyncio.run(with_work())


def test_only_so_many_run_and_wait():
    async def main(work, judging):
        asked = [asyncio.create_task(work.do(judging.judge)) for _ in range(6)]
        await asyncio.sleep(0.05)
        refused = [task.exception() for task in asked if task.done()]
        problems = [(problem.status, problem.headers) for problem in refused if isinstance(problem, Problem)]
        assert problems == [(503, {"retry-after": "1"})]
        judging.go = True
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert answers.count("judged") == 5
        assert judging.most_running == 2
        text = work.metrics.text().decode()
        assert "urt_running_requests 0.0" in text
        assert "urt_waiting_requests 0.0" in text

    run(main, max_requests=2, max_queue=3)


def test_what_is_given_up_ends_and_frees_its_slot():
    async def main(work, judging):
        gone = asyncio.create_task(work.do(judging.judge))
        await asyncio.sleep(0.05)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        judging.go = True
        assert await work.do(judging.judge) == "judged"
        assert (judging.cancelled, judging.running) == (1, 0)

    run(main, max_requests=1)


def test_an_answer_that_takes_too_long_is_504_and_its_work_ends():
    async def main(work, judging):
        with pytest.raises(Problem, match="no answer within 0") as late:
            await work.do(judging.judge)
        assert late.value.status == 504
        while judging.running:
            await asyncio.sleep(0.005)
        assert judging.cancelled == 1

    run(main, answer_timeout_s=0.05)


def test_work_that_never_waits_does_not_hold_the_loop():
    async def main(work, judging):
        async def busy():
            end = time.monotonic() + 0.6
            while time.monotonic() < end:
                sum(range(1000))

        working = asyncio.create_task(work.do(busy))
        worst = 0.0
        while not working.done():
            began = time.monotonic()
            await asyncio.sleep(0.001)
            worst = max(worst, time.monotonic() - began)
        assert worst < 0.3

    run(main)
