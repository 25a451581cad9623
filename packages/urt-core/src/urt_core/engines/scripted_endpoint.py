"""An HTTP endpoint that answers from a script, faults included: for tests, benchmarks and documentation."""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What came in: Request(method="POST", path="/v1/chat/completions", headers={...}, body=b"{...}", number=7)."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    number: int
    """1, 2, 3, ... over the life of the endpoint."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """All text parts of a chat request."""
        parts = self.json["messages"][0]["content"]
        return "".join(part["text"] for part in parts if part["type"] == "text")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What goes out, and how: Reply(status=429, headers={"Retry-After": "1"}, body=b"slow down", delay_s=0.05)."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    body: bytes = b""
    delay_s: float = 0.0
    """Before the first byte."""
    sent_bytes: int | None = None
    """Only so many bytes of the body are sent, though the header promises all of them; at 0 not even the header is."""
    then: Literal["keep", "close", "reset", "hang"] = "keep"
    """What happens to the connection afterwards."""


def chat_reply(
    *texts: str, model: str = "judge", finish_reason: str = "stop", prompt_tokens: int = 100, **changes: Any
) -> Reply:
    """A chat completion with one choice per text."""
    choices = [
        {"index": index, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text}}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": sum(map(len, texts)) // 4}
    body = {"id": "chat-1", "object": "chat.completion", "created": 0, "model": model, "choices": choices}
    return Reply(body=json.dumps(body | {"usage": usage} | changes).encode())


class ScriptedEndpoint:
    """Serves on a free port of 127.0.0.1, in a thread of its own, until the block ends.

    with ScriptedEndpoint(script=lambda request: chat_reply("Image 1 is better.")) as endpoint:
        engine = OpenAIEngine(base_url=endpoint.base_url, model="judge")
    """

    def __init__(self, *, script: Callable[[Request], Reply]) -> None:
        self.script = script
        self.num_requests = 0
        self.num_connections = 0
        self.num_abandoned = 0
        """Delayed replies that nobody waited for any more."""
        self._loop = asyncio.new_event_loop()
        self._port = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="urt-scripted-endpoint", daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> "ScriptedEndpoint":
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1024)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.num_connections += 1
        try:
            while (request := await self._read(reader)) is not None:
                if not await self._send(self.script(request), reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, as clients with a deadline do
        except asyncio.CancelledError:
            pass  # the endpoint ends; asyncio's own callback of this task would print the cancellation as an error
        finally:
            self._connections.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
        if not head:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.num_requests += 1
        return Request(method=method, path=path, headers=headers, body=body, number=self.num_requests)

    async def _send(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
            if reader.at_eof():
                self.num_abandoned += 1
                return False
        headers = {"Content-Length": str(len(reply.body)), **reply.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if reply.sent_bytes != 0:
            writer.write(f"HTTP/1.1 {reply.status} Scripted\r\n{head}\r\n".encode() + reply.body[: reply.sent_bytes])
            await writer.drain()
        if reply.then == "hang":
            await self._stop.wait()
        if reply.then == "reset":
            # A linger time of 0 makes close() send RST.
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return reply.then == "keep" and reply.sent_bytes is None
