"""What stands before the routes: the token, the name, the size, kind and speed of a body, and what a client that goes
away leaves."""

import asyncio
import json

import pytest

from urt_core.server.gate import Gate
from urt_core.server.metrics import Metrics
from urt_core.server.settings import ServerSettings

JSON = ((b"content-type", b"application/json"),)


class App:
    """Answers with the body that reached it, once `go` is set."""

    def __init__(self):
        self.go = asyncio.Event()
        self.go.set()
        self.cancelled = 0

    async def __call__(self, scope, receive, send):
        message = await receive() if scope["method"] == "POST" else {"body": b""}
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"]})


async def ask(gate, *chunks, method="POST", path="/v1/compare", headers=JSON, delay_s=0.0, gone=False):
    """(status, headers, body) of a request whose body comes in `chunks`."""
    arriving = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks[:-1]]
    arriving += [{"type": "http.request", "body": chunk, "more_body": gone} for chunk in chunks[-1:]]
    arriving += [{"type": "http.disconnect"}]
    messages = iter(arriving)
    sent = []

    async def receive():
        await asyncio.sleep(delay_s)
        message = next(messages)
        if message["type"] == "http.disconnect" and not gone:
            await asyncio.Event().wait()  # the client stays until it has its answer
        return message

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    await gate(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def run(main, **settings):
    async def with_gate():
        app = App()
        await main(Gate(app, settings=ServerSettings(**settings), metrics=Metrics()), app)

    asyncio.run(with_gate())


def test_a_body_arrives_whole():
    async def main(gate, app):
        assert await ask(gate, b'{"a"', b": 1}") == (200, {}, b'{"a": 1}')

    run(main)


def test_the_token():
    async def main(gate, app):
        for headers in ((), ((b"authorization", b"Bearer wrong"),), ((b"authorization", b"secret"),)):
            status, answer, body = await ask(gate, b"{}", headers=(*JSON, *headers))
            assert (status, answer[b"www-authenticate"]) == (401, b"Bearer")
            assert b"secret" not in body
        assert (await ask(gate, method="GET", path="/metrics", headers=()))[0] == 401
        assert (await ask(gate, method="GET", path="/health", headers=()))[0] == 200
        right = (b"Authorization", b"Bearer secret")
        assert (await ask(gate, b"{}", headers=(*JSON, right)))[0] == 200

    run(main, token="secret")


@pytest.mark.parametrize(
    ("chunks", "headers", "status"),
    [
        ((b"x" * 101,), JSON, 413),
        ((b"x" * 60, b"x" * 60), JSON, 413),
        ((b"{}",), (*JSON, (b"content-length", b"101")), 413),
        ((b"x" * 100,), JSON, 200),
        ((b"{}",), (*JSON, (b"content-length", b"-1")), 200),
        ((b"a=1",), ((b"content-type", b"application/x-www-form-urlencoded"),), 415),
        ((b"\x80\x04.",), ((b"content-type", b"application/octet-stream"),), 415),
        ((b"{}",), (), 415),
        ((b"{}",), ((b"content-type", b"Application/JSON; charset=utf-8"),), 200),
    ],
)
def test_the_body(chunks, headers, status):
    async def main(gate, app):
        found, answer, body = await ask(gate, *chunks, headers=headers)
        assert found == status
        if status != 200:
            assert answer[b"connection"] == b"close"
            assert json.loads(body)["error"]

    run(main, max_body_bytes=100)


def test_a_body_that_does_not_come():
    async def main(gate, app):
        assert (await ask(gate, b"{", b"}", delay_s=0.2))[0] == 408
        assert (await ask(gate, b"{", gone=True))[0] == 400
        assert (await ask(gate, b"{}"))[0] == 200

    run(main, body_timeout_s=0.1)


def test_a_client_that_goes_away_ends_what_is_done_for_it():
    async def main(gate, app):
        app.go.clear()
        messages = [{"type": "http.request", "body": b"{}", "more_body": False}, {"type": "http.disconnect"}]

        async def receive():
            await asyncio.sleep(0.01)
            return messages.pop(0)

        async def send(message):
            raise AssertionError("nobody is there")

        await gate({"type": "http", "method": "POST", "path": "/v1/compare", "headers": list(JSON)}, receive, send)
        assert app.cancelled == 1
        assert 'code="none"' in gate.metrics.text().decode()

    run(main)


def test_all_bodies_together_are_bounded_and_small_ones_pass():
    large, small = b"x" * (2**20 + 2**16), b"x" * 1000

    async def main(gate, app):
        app.go.clear()
        held = [asyncio.create_task(ask(gate, large)) for _ in range(4)]
        await asyncio.sleep(0.05)
        status, headers, _ = await ask(gate, large)
        assert (status, headers[b"retry-after"]) == (503, b"1")
        waiting = asyncio.create_task(ask(gate, small))
        await asyncio.sleep(0.01)
        app.go.set()
        assert (await waiting)[0] == 200
        assert [status for status, _, _ in await asyncio.gather(*held)] == [200] * 4
        assert (await ask(gate, large))[0] == 200  # what is answered is given back

    run(main, max_bodies_bytes=4 * 2**20)


def test_a_body_that_stalls_is_given_up_for_one_that_comes():
    stalled = b"x" * (2**20 + 2**16)

    async def main(gate, app):
        began = asyncio.get_running_loop().time()
        waiting = [asyncio.create_task(stall(gate, stalled)) for _ in range(4)]
        await asyncio.sleep(0.05)
        assert (await ask(gate, stalled))[0] == 200
        assert await waiting[0] == 408
        assert asyncio.get_running_loop().time() - began < 5
        assert [task.done() for task in waiting] == [True, False, False, False]
        for task in waiting[1:]:
            task.cancel()

    run(main, max_bodies_bytes=4 * 2**20)


async def stall(gate, chunk):
    """The status of a request whose body never ends."""
    messages, sent = [{"type": "http.request", "body": chunk, "more_body": True}], []

    async def receive():
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message):
        sent.append(message)

    await gate({"type": "http", "method": "POST", "path": "/v1/compare", "headers": list(JSON)}, receive, send)
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"127.0.0.1:8090", 200),
        (b"localhost", 200),
        (b"LOCALHOST:8090", 200),
        (b"[::1]:8090", 200),
        (b"judge.example", 200),
        (b"evil.example", 421),
        (b"127.0.0.1.evil.example:8090", 421),
        (b"localhost.evil.example", 421),
        (b"169.254.169.254", 421),
        (b"[::2]:80", 421),
    ],
)
def test_a_foreign_name_is_refused_where_there_is_no_token(host, status):
    async def main(gate, app):
        for method, path in (("POST", "/v1/compare"), ("GET", "/health"), ("GET", "/")):
            headers = (*JSON, (b"host", host))
            assert (await ask(gate, b"{}", method=method, path=path, headers=headers))[0] == status

    run(main, allowed_hosts=("judge.example",))


def test_with_a_token_any_name_will_do():
    async def main(gate, app):
        headers = (*JSON, (b"host", b"evil.example"), (b"authorization", b"Bearer secret"))
        assert (await ask(gate, b"{}", headers=headers))[0] == 200

    run(main, token="secret")
