"""Open connections: bounded in number, in the size of a head and in the time to send one; who is silent makes room for who speaks."""

import asyncio
import select
from collections import OrderedDict, defaultdict
from enum import IntEnum
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from urt_core.server.metrics import Metrics
from urt_core.server.problems import Problem
from urt_core.server.settings import ServerSettings

MAX_HEAD_BYTES = 32 * 2**10
FREE_PIECES = 1000
MEAN_PIECE_BYTES = 256
"""Beyond the free pieces, a body in chunks has so many bytes in each on average: crumbs cost more to read than to send."""


class Phase(IntEnum):
    """What a connection is doing; in this order they are closed to make room, the longest at it first. Work is never given up for a
    newcomer."""

    SILENT = 0
    """Open, and no whole head has come."""
    IDLE = 1
    """Answered, and kept for the next request."""
    RECEIVING = 2
    """A head has come, the body not yet."""
    WORKING = 3


class Connections:
    """All connections of a server, by phase and by address, each in the order in which they entered their phase."""

    def __init__(self, *, settings: ServerSettings, metrics: Metrics, max_open: int) -> None:
        self.settings, self.metrics, self.max_open = settings, metrics, max_open
        self._everywhere = Shelf()
        self._by_address: defaultdict[str, Shelf] = defaultdict(Shelf)

    def __len__(self) -> int:
        return self._everywhere.size

    def opened(self, connection: "BoundedConnection") -> None:
        """Takes the new connection in, and closes another where there are too many."""
        own = self._by_address[connection.address]
        for shelf, most in ((own, self.settings.max_connections_per_address), (self._everywhere, self.max_open)):
            if shelf.size >= most:
                self.close(shelf.most_dispensable() or connection, "room")
        if not connection.transport.is_closing():
            for shelf in (own, self._everywhere):
                shelf.put(connection, Phase.SILENT)

    def entered(self, connection: "BoundedConnection", phase: Phase) -> None:
        shelves = (self._everywhere, self._by_address[connection.address])
        for shelf in shelves:
            shelf.move(connection, phase)

    def lost(self, connection: "BoundedConnection") -> None:
        own = self._by_address[connection.address]
        for shelf in (self._everywhere, own):
            shelf.remove(connection)
        if not own.size:
            del self._by_address[connection.address]

    def close(self, connection: "BoundedConnection", why: str) -> None:
        self.metrics.closed.labels(why).inc()
        self.lost(connection)
        # Not close(): that waits for a client to read what was written for it.
        connection.transport.abort()

    def in_phase(self, *phases: Phase) -> list["BoundedConnection"]:
        return [connection for phase in phases for connection in self._everywhere.phases[phase]]


class Shelf:
    """Connections by phase; those of a phase in the order of their coming."""

    def __init__(self) -> None:
        self.phases: dict[Phase, OrderedDict[BoundedConnection, None]] = {phase: OrderedDict() for phase in Phase}
        self._phase_of: dict[BoundedConnection, Phase] = {}

    @property
    def size(self) -> int:
        return len(self._phase_of)

    def put(self, connection: "BoundedConnection", phase: Phase) -> None:
        self.phases[phase][connection] = None
        self._phase_of[connection] = phase

    def move(self, connection: "BoundedConnection", phase: Phase) -> None:
        if self._phase_of.get(connection, phase) is not phase:
            self.remove(connection)
            self.put(connection, phase)

    def remove(self, connection: "BoundedConnection") -> None:
        if (phase := self._phase_of.pop(connection, None)) is not None:
            del self.phases[phase][connection]

    def most_dispensable(self) -> "BoundedConnection | None":
        for phase in (Phase.SILENT, Phase.IDLE, Phase.RECEIVING):
            if self.phases[phase]:
                return next(iter(self.phases[phase]))
        return None


class BoundedConnection(H11Protocol):
    """uvicorn's protocol on h11, whose heads are bounded whatever else is installed, with deadlines and a place in `connections`."""

    connections_of_server: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._next_event, self._pieces = self.conn.next_event, 0
        self.conn.next_event = self._counted_event  # type: ignore[method-assign]
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self.connections_of_server.opened(self)
        self._expect_head()

    def _counted_event(self) -> Any:
        event = self._next_event()
        if isinstance(event, h11.Request):
            self._pieces = 0
        elif isinstance(event, h11.Data):
            # A large piece pays for smaller ones; a full account grows no further.
            self._pieces = max(0, self._pieces + 1 - len(event.data) // MEAN_PIECE_BYTES)
            if self._pieces > FREE_PIECES:
                raise h11.RemoteProtocolError("the body comes in crumbs; send larger chunks")
        return event

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._note_phase()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note_phase()

    def pause_writing(self) -> None:
        """The client does not read its answer; it has as long as another has to send a body."""
        super().pause_writing()
        seconds = self.connections_of_server.settings.body_timeout_s
        self._unread_timer = self.loop.call_later(seconds, self.connections_of_server.close, self, "unread")

    def resume_writing(self) -> None:
        self._stop_unread_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_unread_timer()
        self.connections_of_server.lost(self)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, in the form of all errors."""
        body = Problem(400, msg).body
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """A client that has not read its answer by now keeps nothing open."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def end_if_quiet(self) -> None:
        """Close between two requests, unless bytes of the next wait in the kernel: closing would reset what was already sent."""
        waiting = select.poll()
        waiting.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        if not self.transport.is_closing() and not waiting.poll(0):
            self.timeout_keep_alive_handler()

    def _note_phase(self) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_head_timer()
            self.connections_of_server.entered(self, Phase.RECEIVING if self.cycle.more_body else Phase.WORKING)
            return
        if self.cycle is not None:
            self.connections_of_server.entered(self, Phase.IDLE)
        self._expect_head()

    def _expect_head(self) -> None:
        """The time of a head runs from its first byte, that of a connection's first head from the opening."""
        has_begun = self.cycle is None or self.conn.trailing_data[0]
        if has_begun and self._head_timer is None and not self.transport.is_closing():
            seconds = self.connections_of_server.settings.head_timeout_s
            self._head_timer = self.loop.call_later(seconds, self.connections_of_server.close, self, "head")

    def _stop_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def bounded_by(connections: Connections) -> type[BoundedConnection]:
    """The class that uvicorn makes for each connection of one server."""
    return type("BoundedConnection", (BoundedConnection,), {"connections_of_server": connections})
