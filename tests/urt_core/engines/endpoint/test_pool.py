"""Who of several servers is asked, and what is asked again; the servers themselves are not needed for that."""

import asyncio

import pytest

from urt_core.engines.endpoint.pool import ServerPool
from urt_core.errors import EngineError, ServerError


class Server:
    def __init__(self, address: str) -> None:
        self.address, self.is_up = address, True

    def __str__(self) -> str:
        return self.address

    async def check_health(self) -> None:
        if not self.is_up:
            raise ServerError(f"{self}: down", is_lost=True)


@pytest.fixture
def servers() -> list[Server]:
    return [Server(f"http://gpu-{number}:8000") for number in range(3)]


def ask_many(pool: ServerPool, send, *, number: int) -> list[str]:
    async def all_answers() -> list[str]:
        return await asyncio.gather(*(pool.ask(send) for _ in range(number)))

    return asyncio.run(all_answers())


def test_the_faster_server_gets_more_and_none_more_than_its_share_at_once(servers):
    pool = ServerPool(servers, in_flight=2)
    running = dict.fromkeys(servers, 0)
    most = dict.fromkeys(servers, 0)

    async def send(server: Server) -> str:
        running[server] += 1
        most[server] = max(most[server], running[server])
        await asyncio.sleep(0.2 if server is servers[0] else 0.01)
        running[server] -= 1
        return str(server)

    answers = ask_many(pool, send, number=30)
    shares = [answers.count(str(server)) for server in servers]
    assert sum(shares) == 30
    assert shares[0] < min(shares[1:])
    assert set(most.values()) == {2}


def test_each_server_is_tried_twice_before_the_request_is_given_up(servers):
    pool = ServerPool(servers, in_flight=1, pause_s=0.0)
    asked: list[str] = []

    async def send(server: Server) -> str:
        asked.append(str(server))
        raise ServerError(f"{server}: HTTP 503")

    with pytest.raises(EngineError, match=r"gpu-0:8000: HTTP 503; .*gpu-1:8000: HTTP 503; .*gpu-2:8000: HTTP 503"):
        ask_many(pool, send, number=1)
    assert sorted(asked[:3]) == sorted(asked[3:]) == sorted(map(str, servers)), "another server before the same again"
    assert pool.usable == servers, "an overloaded server is not lost"


def test_a_lost_server_is_not_asked_again_by_anyone(servers):
    pool = ServerPool(servers, in_flight=1)
    asked: list[Server] = []

    async def send(server: Server) -> str:
        asked.append(server)
        if server is servers[1]:
            raise ServerError(f"{server}: no connection", is_lost=True)
        await asyncio.sleep(0.01)
        return str(server)

    assert len(ask_many(pool, send, number=9)) == 9
    assert asked.count(servers[1]) == 1
    assert pool.usable == [servers[0], servers[2]]


def test_an_error_that_every_server_would_give_is_raised_at_once(servers):
    pool = ServerPool(servers, in_flight=1)
    asked: list[Server] = []

    async def send(server: Server) -> str:
        asked.append(server)
        raise ServerError("HTTP 400: prompt too long", is_final=True)

    with pytest.raises(ServerError, match="prompt too long"):
        ask_many(pool, send, number=1)
    assert len(asked) == 1


def test_lost_servers_come_back_when_they_are_healthy_and_only_then(servers):
    pool = ServerPool(servers, in_flight=1, setting="my.servers", remedy="start them")
    for server in servers:
        server.is_up = False
        pool.lose(server, ServerError(f"{server}: gone", is_lost=True))
    assert pool.usable == []
    with pytest.raises(EngineError, match=r"no vLLM server is left of .* \(my\.servers\): .*gone.*; start them"):
        ask_many(pool, lambda server: server.check_health(), number=1)
    servers[1].is_up = True
    pool.revive()
    assert pool.usable == [servers[1]]
    assert set(pool.failures) == {servers[0], servers[2]}
    pool.take_back(servers[2])
    assert pool.usable == [servers[1], servers[2]]
    assert set(pool.failures) == {servers[0]}
