"""A judge in this process stops writing for a client that has gone: tokens after the hang-up, on the demo's real
weights."""

import json
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import torch

import urt_core
from urt_core import Dialect, Scorer
from urt_core.engines.transformers import TransformersEngine
from urt_core.media import MediaPolicy
from urt_core.server import ServerSettings
from urt_core.server.running import listening_server

JUDGE = Path(urt_core.__file__).parent / "example" / "judge"
MANY = {
    "messages": [{"role": "user", "content": "tell me everything"}],
    "n": 8,
    "max_tokens": 32768,
    "temperature": 1.0,
}
ONE = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}


@pytest.fixture
def served(monkeypatch):
    """(port, times at which tokens were computed) of a server with the example judge, which never ends an answer by
    itself."""
    engine = TransformersEngine.from_pretrained(
        JUDGE, policy=MediaPolicy(min_pixels=1024, max_pixels=4096), device="cpu"
    )
    engine.eos_token_ids = frozenset()
    computed: list[float] = []
    forward = engine.module.forward

    def counted(*args, **kwargs):
        computed.extend([time.monotonic()] * len(kwargs["input_ids"]))
        return forward(*args, **kwargs)

    monkeypatch.setattr(engine.module, "forward", counted)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    scorer = Scorer(engine=engine, dialect=Dialect.V2, allow_paths=False)
    server, listener = listening_server(scorer, ServerSettings(port=0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1], computed
    server.should_exit = True
    thread.join()
    torch.set_num_threads(threads)


def post(port, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_nothing_is_computed_for_a_client_that_has_gone(served):
    port, computed = served
    post(port, ONE)
    computed.clear()
    body = json.dumps(MANY).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head.encode() + body)
        while len(computed) < 400:
            time.sleep(0.01)
    gone = time.monotonic()
    began = time.monotonic()
    assert post(port, ONE)["choices"][0]["finish_reason"] == "length"
    assert time.monotonic() - began < 5
    time.sleep(0.2)
    after = sum(moment > gone for moment in computed) - ONE["max_tokens"]
    # Of 8 x 32,768 tokens that were asked for; a step or two of the eight answers may be under way.
    assert after < 0.02 * MANY["n"] * MANY["max_tokens"]
    assert after < 100
