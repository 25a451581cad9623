"""Many awaited calls with a bounded number in flight, their results streamed in input order or as they finish."""

import asyncio
import atexit
import os
import queue
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


LATER: Any = object()
"""Stands among items for: the next one is not known before another call has ended."""


async def stream_map(
    call: Callable[[T], Awaitable[R]], items: Iterable[T], *, window: int, ordered: bool
) -> AsyncGenerator[R, None]:
    """`call` of each item, at most `window` of them started and not yet handed out: memory does not grow with the input.

    `LATER` among the items puts off the next one to the end of another call. An exception of a call is raised to the consumer and cancels the rest, as does leaving the loop early.
    """
    remaining = iter(items)
    finished: asyncio.Queue[tuple[int, asyncio.Task[R]]] = asyncio.Queue()
    running: set[asyncio.Task[R]] = set()
    held: dict[int, R] = {}
    started = yielded = 0

    def start() -> None:
        """As many as the window has room for and are known."""
        nonlocal started
        while started - yielded < window and (item := next(remaining, LATER)) is not LATER:
            task = asyncio.ensure_future(_result(call, item))
            running.add(task)
            task.add_done_callback(lambda done, index=started: finished.put_nowait((index, done)))
            started += 1

    try:
        start()
        while yielded < started:
            index, task = await finished.get()
            running.discard(task)
            held[index] = task.result()
            start()
            while held and (not ordered or yielded in held):
                result = held.pop(yielded if ordered else next(iter(held)))
                yielded += 1
                start()
                yield result
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _result(call: Callable[[T], Awaitable[R]], item: T) -> R:
    """Calls inside the task: one that is cancelled before it starts leaves nothing behind that nobody awaits."""
    return await call(item)


class BackgroundLoop:
    """An event loop in a thread of its own, for synchronous callers; it also works where a loop runs already (notebooks)."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Waits for it; whoever is interrupted meanwhile has it cancelled."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._started())
        try:
            return future.result()
        finally:
            future.cancel()

    def start(self, coroutine: Coroutine[Any, Any, R]) -> Future[R]:
        """Begins it and does not wait; its result or failure is in the future, which can cancel it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._started())

    async def arun(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """For a caller on another loop, which goes on meanwhile; cancelling the caller cancels the coroutine."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._started()))

    def stream(self, results: AsyncGenerator[R, None]) -> Iterator[R]:
        """The results of an asynchronous generator, one by one; the producer waits when the consumer is behind, and ends with it."""
        handed: queue.Queue[tuple[bool, Any]] = queue.Queue(maxsize=64)
        stopped = threading.Event()

        async def hand(value: tuple[bool, Any]) -> None:
            while not stopped.is_set():
                try:
                    handed.put_nowait(value)
                    return
                except queue.Full:
                    await asyncio.sleep(0.005)

        async def produce() -> None:
            try:
                async with aclosing(results):
                    async for result in results:
                        await hand((True, result))
            finally:
                await hand((False, None))

        future = asyncio.run_coroutine_threadsafe(produce(), self._started())
        try:
            while True:
                has_result, result = handed.get()
                if not has_result:
                    break
                yield result
            future.result()
        finally:
            stopped.set()
            future.cancel()

    def close(self) -> None:
        """End the loop and its thread, if there are any; the next call starts new ones."""
        with self._lock:
            if self._loop is not None and self._thread is not None and self._pid == os.getpid():
                asyncio.run_coroutine_threadsafe(end_tasks(), self._loop).result()
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop.close()
            self._loop = self._thread = None

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():  # threads do not survive a fork
                self._loop, self._pid = asyncio.new_event_loop(), os.getpid()
                self._thread = threading.Thread(target=self._loop.run_forever, name="urt-requests", daemon=True)
                self._thread.start()
            return self._loop


async def end_tasks() -> None:
    """Of the running loop: requests under way are cancelled, so that their connections are closed before it is."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=2.0)


BACKGROUND = BackgroundLoop()
"""The one of this process: engines keep their connections per loop."""
atexit.register(BACKGROUND.close)
