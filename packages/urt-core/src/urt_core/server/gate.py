"""What stands before every route: the name it is reached by, the token, and a body that is whole, in time and within
bounds."""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from urt_core.server.metrics import Metrics
from urt_core.server.problems import Problem
from urt_core.server.settings import ServerSettings, is_loopback

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Mapping[bytes, bytes]
OPEN_ROUTES = ("/health", "/")
"""Neither tells anything that the port does not: liveness, and a page without data."""
SMALL_BODY = 2**16
"""What a body may hold beside the bound over all bodies."""


class Gate:
    """ASGI middleware; the application behind it sees whole, allowed requests only, and is cancelled when the client
    goes away."""

    def __init__(self, app: Callable[..., Awaitable[None]], *, settings: ServerSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self._token = f"Bearer {settings.token}".encode() if settings.token is not None else None
        self._bytes_held = 0
        self._receiving: dict[HeldBody, asyncio.Timeout] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, codes = time.monotonic(), []

        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                codes.append(message["status"])
            await send(message)

        try:
            await self._pass(scope, receive, counted_send)
        except Problem as problem:
            await answer(counted_send, problem)
        finally:
            route = scope["route"].path if "route" in scope else "none"
            self.metrics.requests.labels(route, str(codes[0]) if codes else "none").inc()
            self.metrics.seconds.labels(route).observe(time.monotonic() - began)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        self._check_host(headers.get(b"host", b""))
        if scope["path"] not in OPEN_ROUTES:
            self._check_token(headers.get(b"authorization", b""))
        if scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        held = HeldBody(self)
        try:
            body = await self._read(headers, receive, held)
            await until_gone(self.app, scope, body, receive, send)
        finally:
            held.release()

    def _check_host(self, sent: bytes) -> None:
        """Without a token a page from elsewhere could reach this port under a name that it lets point here (DNS
        rebinding)."""
        if self._token is not None:
            return
        name = host_name(sent)
        if name and not is_loopback(name) and name not in self.settings.allowed_hosts:
            raise Problem(
                421,
                "the Host header names another machine; use 127.0.0.1, name the host (--allow-host), or set a token",
            )

    def _check_token(self, sent: bytes) -> None:
        # Compared in constant time: how long it takes must not tell how much of it is right.
        if self._token is not None and not hmac.compare_digest(sent, self._token):
            text = "send the token as Authorization: Bearer <token>"
            raise Problem(401, text, headers={"www-authenticate": "Bearer"})

    async def _read(self, headers: Headers, receive: Receive, held: "HeldBody") -> bytes:
        limit = self.settings.max_body_bytes
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > limit:
            raise Problem(413, f"the body has {int(declared[:20]):,} bytes, allowed are {limit:,}")
        if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
            raise Problem(415, "the body must be JSON, with Content-Type: application/json")
        body = bytearray()
        try:
            async with asyncio.timeout(self.settings.body_timeout_s) as self._receiving[held]:
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Problem(400, "the client went away")
                    body += message.get("body", b"")
                    if len(body) > limit:
                        raise Problem(413, f"the body has more than {limit:,} bytes")
                    held.grow(len(body))
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            text = f"the body did not arrive within {self.settings.body_timeout_s:g} s, or others needed its room"
            raise Problem(408, text) from None
        finally:
            del self._receiving[held]

    def hold(self, held: "HeldBody", num_bytes: int) -> None:
        """Where all bodies together are too large, the one that has been on its way for longest is given up for the
        newcomer."""
        for other, timeout in self._receiving.items():
            if self._bytes_held + num_bytes <= self.settings.max_bodies_bytes:
                break
            if other is not held and other.size:
                other.release()
                timeout.reschedule(0)
        if self._bytes_held + num_bytes > self.settings.max_bodies_bytes:
            text = f"all bodies together have more than {self.settings.max_bodies_bytes:,} bytes; try again later"
            raise Problem(503, text, headers={"retry-after": "1"})
        self._bytes_held += num_bytes

    def release(self, num_bytes: int) -> None:
        self._bytes_held -= num_bytes


class HeldBody:
    """How much of the bound over all bodies one request has taken, until it is answered."""

    def __init__(self, gate: Gate) -> None:
        self._gate, self.size = gate, 0

    def grow(self, size: int) -> None:
        more = max(0, size - SMALL_BODY) - self.size
        if more > 0:
            self._gate.hold(self, more)
            self.size += more

    def release(self) -> None:
        self._gate.release(self.size)
        self.size = 0


async def until_gone(
    app: Callable[..., Awaitable[None]], scope: Scope, body: bytes, receive: Receive, send: Send
) -> None:
    """Runs the application on the body; when the connection ends first, what it does for the client is cancelled."""
    whole: asyncio.Queue[Message] = asyncio.Queue()
    whole.put_nowait({"type": "http.request", "body": body, "more_body": False})
    working = asyncio.ensure_future(app(scope, whole.get, send))

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        working.cancel()

    watching = asyncio.ensure_future(watch())
    try:
        await asyncio.wait([working])
    except asyncio.CancelledError:
        # The server has drained long enough and ends this task; whoever is still there is told.
        raise Problem(503, "the server is ending", headers={"retry-after": "1"}) from None
    finally:
        watching.cancel()
        working.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)
    if not working.cancelled():
        working.result()


def host_name(sent: bytes) -> str:
    """b"127.0.0.1:8090" -> "127.0.0.1"; b"[::1]:8090" -> "::1"."""
    text = sent.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if text.count(":") == 1 else text


async def answer(send: Send, problem: Problem) -> None:
    # What is left of a refused body is not read; the connection can't go on.
    headers = {"content-type": "application/json", "content-length": str(len(problem.body)), "connection": "close"}
    encoded = [(name.encode(), value.encode()) for name, value in (headers | problem.headers).items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": problem.body})
