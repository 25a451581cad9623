"""`urt serve` as a process: it answers over a socket, and loses no request that has reached this machine when it is
told to end."""

import asyncio
import contextlib
import json
import re
import signal
import threading
import time
from collections import Counter
from typing import Any

import openai
import pytest

from tests.urt_core.server.conftest import PIXEL
from urt_core import SamplingParams
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint, chat_reply
from urt_core.prompts import Prompt

VERDICT = "Answer 1 is better."


def test_it_answers_and_drains(start, pair):
    asked = threading.Event()

    def script(request):
        asked.set()
        return Reply(body=chat_reply(VERDICT).body, delay_s=1.0)

    with ScriptedEndpoint(script=script) as endpoint:
        server = start(endpoint.base_url, URT_TOKEN="secret")
        assert server.ask("/v1/compare", pair)[0] == 401
        answers = []
        waiting = threading.Thread(
            target=lambda: answers.append(server.ask("/v1/compare", pair, Authorization="Bearer secret"))
        )
        waiting.start()
        assert asked.wait(30)
        server.stop()
        waiting.join(30)
        status, _, comparison = answers[0]
        assert (status, comparison["status"], comparison["preference"]) == (200, "ok", "first")
        assert server.process.wait(30) == 0
        with pytest.raises(OSError, match="refused"):
            server.ask("/v1/compare", pair)


def test_health_is_answered_while_many_candidates_are_ranked(start):
    """Pairing, asking and reading stand on no loop that others wait for."""
    with ScriptedEndpoint(script=lambda request: Reply(body=chat_reply(VERDICT).body, delay_s=0.02)) as endpoint:
        server = start(endpoint.base_url)
        names = [f"answer {number}" for number in range(64)]
        question = {"task": "image_understanding", "text": "q", "media": PIXEL, "candidates": names, "method": "swiss"}
        answers = []
        ranking = threading.Thread(target=lambda: answers.append(server.ask("/v1/rank", question)))
        ranking.start()
        waited = []
        while ranking.is_alive():
            status, seconds, _ = server.ask("/health")
            assert status == 200
            waited.append(seconds)
            time.sleep(0.01)
        [(status, _, ranked)] = answers
        assert (status, ranked["num_failed"], len(ranked["comparisons"])) == (200, 0, 7 * 32)
        assert len(waited) >= 10
        assert max(waited) < 1


def test_urt_serves_urt(start):
    """The engine for endpoints, over a socket, against the chat route of the server."""
    with ScriptedEndpoint(script=lambda request: chat_reply(f"{VERDICT} {request.text}")) as endpoint:
        server = start(endpoint.base_url)
        with OpenAIEngine(base_url=f"{server.url}/v1", model="judge") as engine:
            groups = engine.generate([Prompt(parts=(f"{index}",)) for index in range(20)], SamplingParams())
        assert [group[0].text for group in groups] == [f"{VERDICT} {index}" for index in range(20)]


def test_the_official_client_asks_streams_and_shows_the_reason(start):
    def script(request):
        return chat_reply(f"{VERDICT} {len(request.json['messages'])}")

    with ScriptedEndpoint(script=script) as endpoint:
        server = start(endpoint.base_url)
        assert any("/compute returns win rates" in line for line in server.log)
        messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which?"}]
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as judge:
            assert [model.id for model in judge.models.list()] == ["judge"]
            whole = judge.chat.completions.create(model="gpt-4", messages=messages, seed=3, stop=["</answer>"])
            assert whole.choices[0].message.content == f"{VERDICT} 2"
            options: Any = {"include_usage": True}
            parts = list(
                judge.chat.completions.create(model="m", messages=messages, stream=True, stream_options=options)
            )
            assert "".join(part.choices[0].delta.content or "" for part in parts[:-1]) == f"{VERDICT} 2"
            assert parts[-1].usage == whole.usage
            tools: Any = [{"type": "function", "function": {"name": "verdict", "parameters": {}}}]
            with pytest.raises(openai.BadRequestError, match="tools is not supported") as refused:
                judge.chat.completions.create(model="m", messages=messages, tools=tools)
            assert refused.value.param == "tools"


async def client(port, body, outcomes, *, keeps):
    """Asks again and again until it can't connect; a request that was sent and not answered is lost."""
    head = "POST /v1/compare HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    streams = None
    while True:
        if streams is None:
            try:
                streams = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
        reader, writer = streams
        try:
            writer.write(request)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            [length] = re.findall(rb"content-length: (\d+)", answer)
            await reader.readexactly(int(length))
        except (OSError, asyncio.IncompleteReadError):
            outcomes["lost"] += 1
            return
        outcomes[int(answer[9:12])] += 1
        if b"connection: close" in answer or not keeps:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            streams = None


@pytest.mark.parametrize("keeps", [True, False])
def test_a_signal_under_load_loses_no_request(start, pair, keeps):
    async def load(server):
        outcomes = Counter()
        clients = [asyncio.create_task(client(server.port, json.dumps(pair), outcomes, keeps=keeps)) for _ in range(60)]
        await asyncio.sleep(1.5)
        server.stop()
        await asyncio.gather(*clients)
        return outcomes

    with ScriptedEndpoint(script=lambda request: Reply(body=chat_reply(VERDICT).body, delay_s=0.01)) as endpoint:
        server = start(endpoint.base_url)
        outcomes = asyncio.run(load(server))
        assert set(outcomes) == {200}
        assert outcomes[200] > 100
        assert server.process.wait(30) == 0


def test_a_second_signal_ends_at_once(start, pair):
    asked = threading.Event()

    def script(request):
        asked.set()
        return Reply(body=chat_reply(VERDICT).body, delay_s=60.0)

    with ScriptedEndpoint(script=script) as endpoint:
        server = start(endpoint.base_url)
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(server.ask("/v1/compare", pair)))
        waiting.start()
        assert asked.wait(30)
        server.stop(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None
        began = time.monotonic()
        server.stop(signal.SIGINT)
        server.process.wait(30)
        assert time.monotonic() - began < 5
        waiting.join(30)
        [(status, _, answer)] = answers
        assert (status, answer["error"]["message"]) == (503, "the server is ending")


def test_a_client_that_hangs_up_ends_its_request_at_the_endpoint(start, pair):
    """Three clients give up after half a second; nothing of theirs runs on for the eight seconds that the endpoint
    would take."""
    with ScriptedEndpoint(script=lambda request: Reply(body=chat_reply(VERDICT).body, delay_s=8.0)) as endpoint:
        server = start(endpoint.base_url)

        def give_up():
            with contextlib.suppress(OSError):
                server.ask("/v1/compare", pair, timeout=0.5)

        gone = [threading.Thread(target=give_up) for _ in range(3)]
        for thread in gone:
            thread.start()
        while server.metric("urt_running_requests") < 3:
            time.sleep(0.02)
        for thread in gone:
            thread.join()
        began = time.monotonic()
        while server.metric("urt_running_requests"):
            assert time.monotonic() - began < 1.0
            time.sleep(0.02)
