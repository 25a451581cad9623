"""Judging, beside the loop that answers HTTP: so many requests at a time, so many that wait, so long for each."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from urt_core.server.metrics import Metrics
from urt_core.server.problems import Problem
from urt_core.server.settings import ServerSettings
from urt_core.streaming import BACKGROUND

R = TypeVar("R")


class Work:
    """`await work.do(lambda: scorer.acompare(...))` takes a slot and runs the coroutine on another thread's loop.

    What rendering, ranking and parsing cost is then never paid by who asks for /health. Cancelling the caller (its
    client has gone) cancels what it waits for, down to the request that an engine has sent.
    """

    def __init__(self, *, settings: ServerSettings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self._slots = asyncio.Semaphore(settings.max_requests)
        self._waiting = 0

    async def do(self, start: Callable[[], Coroutine[Any, Any, R]]) -> R:
        try:
            async with asyncio.timeout(self.settings.answer_timeout_s):
                await self._take_slot()
                self.metrics.running.inc()
                try:
                    return await BACKGROUND.arun(start())
                finally:
                    self.metrics.running.dec()
                    self._slots.release()
        except TimeoutError:
            seconds = f"{self.settings.answer_timeout_s:g} s"
            raise Problem(
                504, f"no answer within {seconds} (ServerSettings.answer_timeout_s)", code="timeout"
            ) from None

    async def _take_slot(self) -> None:
        if self._slots.locked() and self._waiting >= self.settings.max_queue:
            raise Problem(503, "too many requests are waiting; try again later", headers={"retry-after": "1"})
        self._waiting += 1
        self.metrics.waiting.set(self._waiting)
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
            self.metrics.waiting.set(self._waiting)
