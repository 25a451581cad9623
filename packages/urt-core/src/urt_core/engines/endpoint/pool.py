"""Several servers that share the work."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from urt_core.errors import EngineError, ServerError
from urt_core.streaming import BACKGROUND

LOG = logging.getLogger(__name__)


def are_server_addresses(addresses: Sequence[str]) -> bool:
    """Whether they are different ones of scheme, host and port alone: paths are the client's business, and a password
    would be logged.

    >>> are_server_addresses(["http://gpu-1:8000", "http://gpu-2:8000"]), are_server_addresses(["http://gpu-1:8000/v1"])
    (True, False)
    """
    return len(set(addresses)) == len(addresses) and all(map(_is_bare, addresses))


def _is_bare(address: str) -> bool:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return False
    bare = f"{parts.scheme}://{parts.netloc}"
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and address == bare


class Server(Protocol):
    """Any server: its `str` is its address."""

    async def check_health(self) -> None:
        """`ServerError` where it is not healthy."""
        ...


S = TypeVar("S", bound=Server)
T = TypeVar("T")

TRIES_PER_SERVER = 2


class ServerPool(Generic[S]):
    """Servers with the same weights. A request goes to the least busy of them, and to another where that one fails.

    pool = ServerPool([VLLMServer("http://gpu-1:8000"), VLLMServer("http://gpu-2:8000")], in_flight=32)
    answer = await pool.ask(lambda server: server.call("POST", "/v1/chat/completions", body=body))
    """

    def __init__(
        self,
        servers: Sequence[S],
        *,
        in_flight: int,
        pause_s: float = 1.0,
        setting: str = "servers",
        remedy: str = "see why in their logs",
    ) -> None:
        self.servers = tuple(servers)
        self.usable = list(servers)
        """A lost one comes back when it is healthy at the next `revive`."""
        self.in_flight, self.pause_s = in_flight, pause_s
        self.setting, self.remedy = setting, remedy
        """Where the servers are named, and what to do when none is left."""
        self.failures: dict[S, ServerError] = {}
        """The last failure of each server that is not usable."""
        self._busy: Counter[S] = Counter()
        self._changed = asyncio.Condition()

    async def ask(self, send: Callable[[S], Awaitable[T]]) -> T:
        tries: Counter[S] = Counter()
        failures: list[ServerError] = []
        while (server := await self._free_server(tries)) is not None:
            try:
                if tries[server]:
                    await asyncio.sleep(self.pause_s)
                tries[server] += 1
                return await send(server)
            except ServerError as error:
                if error.is_final:
                    raise
                failures.append(error)
                if error.is_lost:
                    self.lose(server, error)
            finally:
                self._busy[server] -= 1
                async with self._changed:
                    self._changed.notify_all()
        raise self.none_left(failures)

    async def _free_server(self, tries: Counter[S]) -> S | None:
        """The least busy of those that were tried least; waits while they are full. None where all have been tried
        enough."""
        async with self._changed:
            while True:
                left = [server for server in self.usable if tries[server] < TRIES_PER_SERVER]
                if not left:
                    return None
                fewest = min(tries[server] for server in left)
                free = [s for s in left if tries[s] == fewest and self._busy[s] < self.in_flight]
                if free:
                    server = min(free, key=self._busy.__getitem__)
                    self._busy[server] += 1
                    return server
                await self._changed.wait()

    def on_each(self, call: Callable[[S], Awaitable[T]]) -> dict[S, T]:
        """The call on all usable servers at once; one that fails is lost."""
        return BACKGROUND.run(self.aon_each(call))

    async def aon_each(self, call: Callable[[S], Awaitable[T]]) -> dict[S, T]:
        asked = tuple(self.usable)
        answers: dict[S, T] = {}
        for server, answer in zip(
            asked, await asyncio.gather(*(call(server) for server in asked), return_exceptions=True), strict=True
        ):
            if isinstance(answer, ServerError):
                self.lose(server, answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                answers[server] = answer
        return answers

    def lose(self, server: S, error: ServerError) -> None:
        if server in self.usable:
            self.usable.remove(server)
            LOG.warning("%s is left out until it is found healthy again: %s", server, error)
        self.failures[server] = error

    def take_back(self, server: S) -> None:
        if server not in self.usable:
            self.usable.append(server)
        self.failures.pop(server, None)

    def revive(self) -> None:
        """All servers that are healthy now, those lost before included."""
        BACKGROUND.run(self.arevive())

    async def arevive(self) -> None:
        self.usable = list(self.servers)
        self.failures = {}
        await self.aon_each(lambda server: server.check_health())

    def none_left(self, failures: Sequence[ServerError] = ()) -> EngineError:
        said = "; ".join(dict.fromkeys(map(str, [*failures, *self.failures.values()])))
        return EngineError(
            f"no vLLM server is left of {', '.join(map(str, self.servers))} ({self.setting}): {said or 'none was asked'}; {self.remedy}"
        )
