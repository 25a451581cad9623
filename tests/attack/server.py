"""`urt serve` as a process on the loopback, under everything that has held one up: what honest clients and /health see
meanwhile."""

import contextlib
import json
import socket
import statistics
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urt_core
from tests.attack.documents import LITERALS
from tests.urt_core.server.conftest import PAIR, Server
from tests.urt_core.server.test_fuzz import FIELDS, GOOD, ROUTES
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint, chat_reply

JUDGE = str(Path(urt_core.__file__).parent / "example" / "judge")
HEAD = b"POST /v1/compare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
MAX_ANSWER = 64 << 10
HONEST_SECONDS, HEALTH_SECONDS = 2.0, 1.0
SLACK = 5.0
"""The bounds are for an idle machine; a busy one gets this many times as long before a wait counts as held up."""
SLACK_IN_TESTS = 20.0
"""Nothing that a slow machine does is a failure there."""


@dataclass(frozen=True, slots=True)
class Held:
    """Held("1,300 silent connections", cases=4, faults=(), seconds=0.3): `seconds` is the worst that an honest client saw"""

    what: str
    cases: int
    faults: tuple[str, ...]
    seconds: float
    health: float = 0.0
    largest: int = 0
    """Bytes of the largest answer of 400 to 499."""


@contextmanager
def endpoint(delay_s: float = 0.01) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(
        script=lambda request: Reply(body=chat_reply("Answer 1 is better.").body, delay_s=delay_s)
    ) as one:
        yield one


def judged(server: Server) -> float:
    """Seconds of one honest comparison."""
    status, seconds, answer = server.ask("/v1/compare", PAIR, timeout=60)
    assert (status, answer["status"]) == (200, "ok"), (status, answer)
    return seconds


@contextmanager
def watched(server: Server) -> Iterator[list[float]]:
    """Seconds of /health, asked all the time."""
    seconds, ended = [], threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            began = time.monotonic()
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{server.url}/health", timeout=60).read()
            seconds.append(time.monotonic() - began)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seconds
    finally:
        ended.set()
        watcher.join()


def beside(server: Server, what: str, attack: Callable[[], int], *, slow: float = SLACK) -> Held:
    """Five honest comparisons while `attack` goes on, which returns the number of its cases."""
    faults: list[str] = []
    honest: list[float] = []
    with watched(server) as health, ThreadPoolExecutor(2) as threads:
        attacking = threads.submit(attack)
        for _ in range(5):
            time.sleep(0.2)
            try:
                honest.append(judged(server))
            except (AssertionError, OSError) as error:
                faults.append(f"honest request: {str(error)[:120]}")
        cases = attacking.result()
    worst, worst_health = max(honest, default=99.0), max(health, default=0.0)
    if worst > HONEST_SECONDS * slow:
        faults.append(f"an honest request took {worst:.1f} s")
    if worst_health > HEALTH_SECONDS * slow:
        faults.append(f"/health took {worst_health:.1f} s")
    return Held(what, cases, tuple(faults), statistics.median(honest or [99.0]), statistics.median(health or [0.0]))


def connections(server: Server, number: int, said: bytes = b"") -> Callable[[], int]:
    def attack() -> int:
        held = []
        for _ in range(number):
            held.append(socket.create_connection(("127.0.0.1", server.port)))
            held[-1].sendall(said)
        time.sleep(2.0)
        for one in held:
            one.close()
        return number

    return attack


def heads(server: Server, megabytes: int) -> Callable[[], int]:
    def attack() -> int:
        sent = 0
        while sent < megabytes * 10**6:
            with socket.create_connection(("127.0.0.1", server.port)) as one, contextlib.suppress(OSError):
                one.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
                for _ in range(200):
                    one.sendall(b"X: a\r\n" * 10_000)
                    sent += 60_000
            sent += 60_000  # what the kernel took before the reset
        return megabytes

    return attack


def hostile_bodies(*, is_short: bool) -> Iterator[tuple[str, bytes]]:
    """Bodies that made long answers, long waits or a 500: many wrong values, every literal that is no JSON, in every field."""
    ones = 2_000 if is_short else 262_144
    for route in ROUTES:
        right = {name: GOOD[name] for name in FIELDS[route]}
        for name in FIELDS[route]:
            for value in (
                [1] * ones,
                ["x" * 300] * (ones // 300),
                {str(n): n for n in range(ones // 10)},
                "[" * 5000,
                "y" * ones,
            ):
                yield route, json.dumps({**right, name: value}).encode()
            for literal in LITERALS:
                body = json.dumps({**right, name: "@"}).encode()
                yield route, body.replace(b'"@"', literal)
        yield route, json.dumps({**right, **{f"f{n}": n for n in range(3000)}}).encode()


def bodies(server: Server, *, is_short: bool = False, slow: float = SLACK) -> Held:
    faults: list[str] = []
    largest = cases = 0
    with watched(server) as health:
        for route, body in hostile_bodies(is_short=is_short):
            cases += 1
            request = urllib.request.Request(server.url + route, body, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:
                    status, size = answer.status, 0
                    answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    status, size = error.code, len(error.read())
            except OSError as error:
                status, size = 0, 0
                faults.append(f"{route}: no answer ({error}) to {body[:60]!r}")
            largest = max(largest, size if 400 <= status < 500 else 0)
            if status in (500, 502) or size > MAX_ANSWER:
                faults.append(f"{route}: {status}, {size:,} bytes, to {body[:80]!r}")
    worst = max(health, default=0.0)
    if worst > HEALTH_SECONDS * slow:
        faults.append(f"/health took {worst:.1f} s")
    return Held("hostile bodies on every route", cases, tuple(faults[:10]), 0.0, worst, largest)


def batched() -> Held:
    """Beside each hostile request five honest ones, in one batch of a judge of this machine; and one that hangs up."""
    palette = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAMAAADz0U65AAAADElEQVR4nGNgGNwAAADIAAFXJ8Y5AAAAAElFTkSuQmCC"
    long = " ".join(["word"] * 19_000)
    chat = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}
    hostile: list[tuple[str, Any]] = [
        ("/v1/compare", {**PAIR, "first": long}),
        ("/v1/compare", {**PAIR, "media": palette}),
        ("/v1/compare", {**PAIR, "text": "<|image_pad|>" * 2000}),
        ("/v1/chat/completions", {**chat, "temperature": 1e-300}),
        ("/v1/chat/completions", {**chat, "temperature": 1.0, "top_p": 5e-324}),
        ("/v1/chat/completions", {**chat, "messages": [{"role": "user", "content": "e" + "\u0301" * 20_000}]}),
        ("/v1/chat/completions", {**chat, "max_tokens": 32768, "n": 32}),
    ]
    faults, cases = [], 0
    with Server("--model", JUDGE, "--device", "cpu", OMP_NUM_THREADS="1") as server:
        one = {**PAIR, "task": "image_understanding"}
        for route, body in hostile:
            with ThreadPoolExecutor(6) as threads:
                gone = body.get("n") == 32
                attack = threads.submit(_asked, server, route, body, 1.0 if gone else 120.0)
                honest = [threads.submit(_asked, server, "/v1/compare", one, 120.0) for _ in range(5)]
                cases += 5
                faults += [
                    f"{route} {str(body)[:60]}: an honest request got {found.result()}"
                    for found in honest
                    if found.result() != 200
                ]
                if not gone and attack.result() not in (200, 400, 413, 422):
                    faults.append(f"{route} {str(body)[:60]}: {attack.result()}")
    return Held("honest requests in one batch with a hostile one", cases, tuple(faults), 0.0)


def _asked(server: Server, route: str, body: Any, timeout: float) -> int | str:
    try:
        return server.ask(route, body, timeout=timeout)[0]
    except OSError as error:
        return type(error).__name__


def ending() -> Held:
    """SIGTERM under sixty clients that ask as fast as they are answered, each with a connection for every request."""
    import asyncio
    from collections import Counter

    from tests.urt_core.server.test_running import client

    async def load(server: Server) -> Counter:
        outcomes: Counter = Counter()
        clients = [
            asyncio.create_task(client(server.port, json.dumps(PAIR), outcomes, keeps=number % 2 == 0))
            for number in range(60)
        ]
        await asyncio.sleep(2.0)
        server.stop()
        await asyncio.gather(*clients)
        return outcomes

    with endpoint() as judge, Server(judge.base_url) as server:
        outcomes = asyncio.run(load(server))
        code = server.process.wait(60)
    faults = [f"{number} requests ended as {what}" for what, number in outcomes.items() if what != 200]
    if code != 0:
        faults.append(f"the server ended with {code}")
    return Held("requests sent before SIGTERM", sum(outcomes.values()), tuple(faults), 0.0)


def held(*, is_short: bool = False) -> Iterator[Held]:
    number, slow = (200, SLACK_IN_TESTS) if is_short else (1300, SLACK)
    stalling = HEAD + b"Content-Length: 1000\r\n\r\n{"
    with endpoint() as judge, Server(judge.base_url) as server:
        yield bodies(server, is_short=is_short, slow=slow)
        yield beside(server, "silent connections", connections(server, number), slow=slow)
        yield beside(server, "half a request line each", connections(server, number, b"GET /health HTT"), slow=slow)
        yield beside(server, "bodies that stall", connections(server, 64, stalling), slow=slow)
        yield beside(server, "MB of head", heads(server, 20 if is_short else 400), slow=slow)
    if not is_short:
        yield batched()
        yield ending()
