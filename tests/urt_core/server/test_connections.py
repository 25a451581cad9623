"""Clients that hold connections, heads and bodies: an honest request is answered within two seconds, /health within one."""

import contextlib
import json
import socket
import threading
import time
import urllib.request

import pytest

from urt_core import Dialect, Scorer
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.server import ServerSettings
from urt_core.server.running import listening_server

HEAD = b"POST /v1/compare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def endpoint():
    with ScriptedEndpoint(script=lambda request: chat_reply("Answer 1 is better.")) as endpoint:
        yield endpoint


def open_many(server, number, said=b""):
    sockets = []
    for _ in range(number):
        sockets.append(socket.create_connection(("127.0.0.1", server.port)))
        sockets[-1].sendall(said)
    return sockets


def is_honest_served(server, pair):
    status, seconds, answer = server.ask("/v1/compare", pair)
    health, health_seconds, _ = server.ask("/health")
    return (status, answer["status"], health) == (200, "ok", 200) and seconds < 2 and health_seconds < 1


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1300, b""),
        (1300, b"GET /health HTT"),
        (64, HEAD + b"Content-Length: 1000\r\n\r\n{"),
        (700, HEAD + b"Content-Length: 1000\r\n\r\n{"),
        (700, HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"),
    ],
    ids=["silent", "half-a-line", "64-stalled-bodies", "700-stalled-bodies", "chunks"],
)
def test_connections_that_say_nothing_make_room(start, endpoint, pair, number, said):
    server = start(endpoint.base_url)
    held = open_many(server, number, said)
    assert is_honest_served(server, pair)
    assert server.memory_mb < 300
    for one in held:
        one.close()
    assert is_honest_served(server, pair)


def test_what_cannot_be_held_is_not_held(start, endpoint, pair):
    server = start(endpoint.base_url, "--max-connections", "300")
    held = open_many(server, 1100)
    assert is_honest_served(server, pair)
    assert server.metric("urt_closed_connections_total") >= 800
    for one in held:
        one.close()


def test_a_head_is_bounded_whatever_is_installed(start, endpoint, pair):
    server = start(endpoint.base_url, URT_TOKEN="secret")
    began, sent, before = time.monotonic(), 0, server.memory_mb
    while sent < 40_000_000:
        with socket.create_connection(("127.0.0.1", server.port)) as one:
            one.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
            try:
                while True:
                    one.sendall(b"X: a\r\n" * 10_000)
                    sent += 60_000
            except OSError:
                pass  # the server has had enough
        assert time.monotonic() - began < 60
    assert server.ask("/health")[1] < 1
    assert server.memory_mb < before + 50


@pytest.fixture
def hasty(endpoint):
    """The address of a server in this process with short deadlines."""
    engine = OpenAIEngine(base_url=endpoint.base_url, model="judge")
    scorer = Scorer(engine=engine, dialect=Dialect.DIRECT, allow_paths=False)
    server, listener = listening_server(scorer, ServerSettings(port=0, head_timeout_s=0.5, body_timeout_s=1.0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("first", [b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["first", "second"])
def test_a_head_that_does_not_come_ends_the_connection(hasty, first):
    """Within the deadline, on a fresh connection and between two requests, however slowly it drips."""
    with socket.create_connection(hasty) as one:
        one.settimeout(10)
        one.sendall(first)
        if first:
            assert one.recv(65536).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        with pytest.raises(OSError, match=r"reset|Broken pipe"):  # noqa: PT012 - any of the drops may be the one
            while time.monotonic() - began < 5:
                one.sendall(b"G")
                time.sleep(0.05)
        assert 0.3 < time.monotonic() - began < 2


def test_an_answer_that_is_not_read_ends_the_connection(hasty):
    """Thousands of requests in a row, of whose answers the client takes none. Asked of the server: a client whose window is shut
    may learn of the reset seconds later, by its own kernel's probes."""

    def unread() -> float:
        with urllib.request.urlopen(f"http://{hasty[0]}:{hasty[1]}/metrics", timeout=30) as answer:
            lines = [line.split() for line in answer.read().decode().splitlines() if 'why="unread"' in line]
        return max((float(line[-1]) for line in lines if "_total" in line[0]), default=0.0)

    before, began = unread(), time.monotonic()
    with socket.create_connection(hasty) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        while unread() == before and time.monotonic() - began < 6:
            with contextlib.suppress(OSError):
                for _ in range(1000):
                    one.send(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
            time.sleep(0.05)
    assert unread() == before + 1


def test_what_is_no_http_is_told_so_in_the_form_of_all_errors(hasty):
    with socket.create_connection(hasty) as one:
        one.settimeout(10)
        one.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 \r\n\r\n")
        head, _, body = one.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_crumbs_of_a_body_do_not_hold_the_others(hasty):
    """Bodies in pieces of one byte each, from thirty clients at a time; one in larger pieces is taken."""
    crumbs = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 200_000

    def crumble():
        with contextlib.suppress(OSError), socket.create_connection(hasty) as one:
            one.sendall(crumbs)

    clients = [threading.Thread(target=crumble) for _ in range(30)]
    for client in clients:
        client.start()
    worst = 0.0
    while any(client.is_alive() for client in clients):
        began = time.monotonic()
        with urllib.request.urlopen(f"http://{hasty[0]}:{hasty[1]}/health", timeout=30) as answer:
            assert answer.status == 200
        worst = max(worst, time.monotonic() - began)
        time.sleep(0.02)
    assert worst < 1.0
    piece = b"%x\r\n" % 4096 + b" " * 4096 + b"\r\n"
    with socket.create_connection(hasty) as one:
        one.settimeout(10)
        one.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + piece * 2000 + b"0\r\n\r\n")
        assert b"the body is not JSON" in one.recv(65536)
