"""What stands before every route: the token, the size and speed of the body, and how many requests are let in."""

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from urt_core.server.metrics import Metrics
from urt_core.server.settings import ServerSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
OPEN_ROUTES = ("/health",)


class Refused(Exception):
    """A request that the gate answers itself."""

    def __init__(self, code: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.code, self.text, self.headers = code, text, headers


class Gate:
    """ASGI middleware; the application behind it only sees whole, allowed requests."""

    def __init__(self, app: Callable[..., Awaitable[None]], *, settings: ServerSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self._slots = asyncio.Semaphore(settings.max_requests)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, codes = time.monotonic(), []

        async def counted_send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                codes.append(message["status"])
            await send(message)

        try:
            await self._pass(scope, receive, counted_send)
        except Refused as refused:
            await answer(counted_send, refused)
        finally:
            route = scope["route"].path if "route" in scope else "none"
            self.metrics.requests.labels(route, str(codes[0]) if codes else "none").inc()
            self.metrics.seconds.labels(route).observe(time.monotonic() - began)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        if scope["path"] not in OPEN_ROUTES:
            self._check_token(headers.get(b"authorization", b""))
        if scope["method"] == "GET":
            await self.app(scope, receive, send)
            return
        if self._slots.locked() and self._waiting >= self.settings.max_queue:
            raise Refused(503, "too many requests are waiting; try again later", **{"retry-after": "1"})
        self._waiting += 1
        self.metrics.waiting.set(self._waiting)
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
            self.metrics.waiting.set(self._waiting)
        self.metrics.running.inc()
        try:
            body = await self._read(headers, receive)
            await self.app(scope, replay(body, receive), send)
        finally:
            self.metrics.running.dec()
            self._slots.release()

    def _check_token(self, sent: bytes) -> None:
        if self.settings.token is None:
            return
        # Compared in constant time: how long it takes must not tell how much of it is right.
        if not hmac.compare_digest(sent, f"Bearer {self.settings.token}".encode()):
            raise Refused(401, "send the token as Authorization: Bearer <token>", **{"www-authenticate": "Bearer"})

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        limit = self.settings.max_body_bytes
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise Refused(413, f"the body has {int(declared):,} bytes, allowed are {limit:,}")
        if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
            raise Refused(415, "the body must be JSON, with Content-Type: application/json")
        body = bytearray()
        try:
            async with asyncio.timeout(self.settings.body_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "the client went away")
                    body += message.get("body", b"")
                    if len(body) > limit:
                        raise Refused(413, f"the body has more than {limit:,} bytes")
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise Refused(408, f"the body did not arrive within {self.settings.body_timeout_s:g} s") from None


def replay(body: bytes, receive: Receive) -> Receive:
    """Hands the body over once, and then what the connection says (that the client has gone)."""
    handed = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal handed
        if handed:
            return await receive()
        handed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def answer(send: Send, refused: Refused) -> None:
    body = json.dumps({"error": refused.text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    # What is left of a refused body is not read; the connection can't go on.
    headers += [
        (b"connection", b"close"),
        *((name.encode(), value.encode()) for name, value in refused.headers.items()),
    ]
    await send({"type": "http.response.start", "status": refused.code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
