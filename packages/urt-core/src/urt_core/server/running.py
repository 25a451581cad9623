"""A server process: it answers until SIGTERM or SIGINT, finishes everything that has reached this machine, and ends."""

import asyncio
import ctypes
import logging
import os
import resource
import signal
import socket
import struct
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from urt_core.scorer import Scorer
from urt_core.server.app import create_app
from urt_core.server.connections import MAX_HEAD_BYTES, Connections, Phase, bounded_by
from urt_core.server.settings import ServerSettings

logger = logging.getLogger("uvicorn.error")

KERNEL_QUEUE = 2048
"""Connections that the kernel may have accepted before the process has."""
ACCEPTED_AT_ONCE = 128
"""asyncio takes so many before it lets any of them be bounded; it uses one number for this and for the kernel's
queue."""
SPARE_FILES = 256
"""Descriptors that are left for everything but clients, one round of accepting included."""
LINGER_S = 1.0
"""How long an idle connection may still bring a request after SIGTERM: its client has not heard of it."""
REWARDS = {
    "win_rate": "win rates among the samples of a prompt, for trainers whose calls hold whole groups or name them (groups, group_size); a "
    "sample alone needs --references",
    "score": "a score for each sample, for trainers that ask for one at a time (Flow-Factory's pointwise model, UniRL, OpenRLHF)",
}
ABANDON_S = 3.0
"""From a second signal to the end, whatever runs."""


def serve(scorer: Scorer, settings: ServerSettings | None = None) -> None:
    """Blocks until the process is told to end. A second signal ends it at once."""
    server, listener = listening_server(scorer, settings or ServerSettings())
    server.run(sockets=[listener])


def listening_server(scorer: Scorer, settings: ServerSettings) -> tuple["DrainingServer", socket.socket]:
    """The server, and the socket that its clients can already connect to: `server.run(sockets=[listener])` answers
    them."""
    app = create_app(scorer, settings)
    max_open = min(settings.max_connections, raise_file_limit(4 * settings.max_connections) - SPARE_FILES)
    connections = Connections(settings=settings, metrics=app.metrics, max_open=max_open)
    config = uvicorn.Config(
        app,
        http=bounded_by(connections),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        ws="none",
        timeout_keep_alive=30,
        backlog=ACCEPTED_AT_ONCE,
        server_header=False,
        access_log=False,
        log_level="info",
    )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, settings.port), family=family, backlog=KERNEL_QUEUE)
    return DrainingServer(config, connections, settings), listener


def raise_file_limit(wanted: int) -> int:
    """As many open files as the process may have, up to `wanted`; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which on a signal loses no request: neither in the kernel's queue, nor on a connection that is
    kept open."""

    def __init__(self, config: uvicorn.Config, connections: Connections, settings: ServerSettings) -> None:
        super().__init__(config)
        self.connections, self.settings = connections, settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(KERNEL_QUEUE)
            host, port = listener.getsockname()[:2]
            logger.info("/compute returns %s", REWARDS[self.settings.reward])
            logger.info("urt is running on http://%s:%d (CTRL+C ends it)", f"[{host}]" if ":" in host else host, port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logger.info("Finishing what has been asked; a second signal ends at once")
        for listener in sockets or []:
            await self._take_all_in(listener)
        for server in self.servers:
            server.close()
        self._announce_end()
        loop = asyncio.get_running_loop()
        began = loop.time()
        while len(self.connections) and not self.force_exit and loop.time() - began < self.settings.drain_s:
            if loop.time() - began > LINGER_S:
                for connection in self.connections.in_phase(Phase.SILENT, Phase.IDLE):
                    connection.end_if_quiet()
            await asyncio.sleep(0.05)
        tasks = list(self.server_state.tasks)
        if tasks:
            logger.error("%d requests are given up", len(tasks))
        for task in tasks:
            task.cancel()
        await asyncio.wait([asyncio.ensure_future(self._after(tasks))], timeout=ABANDON_S)

    async def _after(self, tasks: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.lifespan.shutdown()

    async def _take_all_in(self, listener: socket.socket) -> None:
        """Accept what the kernel has accepted. From here on it accepts nothing more, so that nothing comes between the
        last one and the closing of the socket."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        refuse_new(listener)
        while True:
            try:
                accepted, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # no descriptor left, or the client has gone
                logger.error("a connection could not be accepted: %s", error)
                return
            accepted.setblocking(False)
            await loop.connect_accepted_socket(self._protocol, accepted)

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def _announce_end(self) -> None:
        """Every answer from now on says that its connection ends."""
        self.server_state.default_headers.append((b"connection", b"close"))

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Ending as told is no failure: the signals are not raised again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: Any) -> None:
        if not self.should_exit:
            self.should_exit = True
            return
        self.force_exit = True
        # What can't be cancelled, such as a step of a model in another thread, must not keep the process.
        last = threading.Timer(ABANDON_S, os._exit, [128 + sig])
        last.daemon = True
        last.start()


def refuse_new(listener: socket.socket) -> None:
    """Let the kernel drop what arrives at a listening socket (a filter that passes nothing): a client that tries to
    connect tries again, and is then refused, instead of being accepted by a socket that is about to close. Linux only;
    elsewhere a gap of microseconds stays."""
    if sys.platform != "linux":
        return
    attach_filter, return_constant = 26, 0x06
    nothing = ctypes.create_string_buffer(struct.pack("HBBI", return_constant, 0, 0, 0))
    try:
        listener.setsockopt(socket.SOL_SOCKET, attach_filter, struct.pack("HP", 1, ctypes.addressof(nothing)))
    except OSError as error:
        logger.warning("the kernel takes no filter (%s); a request that comes this instant may be lost", error)
