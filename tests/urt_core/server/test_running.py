"""`urt serve` as a process: it answers over a socket, and SIGTERM lets what is under way finish."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from urt_core import SamplingParams
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint, chat_reply
from urt_core.prompts import Prompt

STARTED = re.compile(r"running on (http://127\.0\.0\.1:\d+)", re.IGNORECASE)
VERDICT = "Answer 1 is better."
PIXEL = "data:image/gif;base64,R0lGODdhAQABAPAAAP8AAAAAACwAAAAAAQABAAACAkQBADs="
PAIR = {"task": "image_understanding", "text": "q", "first": "a", "second": "b", "media": PIXEL, "orders": "given"}


class Server:
    """`urt serve` in front of an endpoint, on a free port."""

    def __init__(self, base_url: str, *options: str, **environment: str) -> None:
        command = [sys.executable, "-m", "urt_core.cli", "serve", "--base-url", base_url, "--model", "judge"]
        self.process = subprocess.Popen(
            [*command, "--dialect", "direct", "--port", "0", *options],
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = []
        assert self.process.stderr is not None
        self.stderr = self.process.stderr
        for line in self.stderr:
            self.log.append(line)
            if found := STARTED.search(line):
                self.url = found[1]
                break
        else:
            self.stderr.close()
            raise AssertionError("".join(self.log))
        # Read on, so that the server never waits for a full pipe.
        self.reader = threading.Thread(target=lambda: self.log.extend(self.stderr))
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.stderr.close()

    def post(self, path: str, body, **headers: str):
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


def test_it_answers_and_drains():
    asked = threading.Event()

    def script(request):
        asked.set()
        return Reply(body=chat_reply(VERDICT).body, delay_s=1.0)

    with ScriptedEndpoint(script=script) as endpoint, Server(endpoint.base_url, URT_TOKEN="secret") as server:
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            server.post("/v1/compare", PAIR)
        refused.value.close()

        answers = []
        waiting = threading.Thread(
            target=lambda: answers.append(server.post("/v1/compare", PAIR, Authorization="Bearer secret"))
        )
        waiting.start()
        assert asked.wait(30)
        server.process.send_signal(signal.SIGTERM)
        waiting.join(30)
        assert (answers[0]["status"], answers[0]["preference"]) == ("ok", "first")
        assert server.process.wait(30) == 0
        with pytest.raises(urllib.error.URLError):
            server.post("/v1/compare", PAIR)


def test_urt_serves_urt():
    """The engine for endpoints, over a socket, against the chat route of the server."""
    with ScriptedEndpoint(script=lambda request: chat_reply(f"{VERDICT} {request.text}")) as endpoint:
        with Server(endpoint.base_url) as server:
            began = time.monotonic()
            with OpenAIEngine(base_url=f"{server.url}/v1", model="judge") as engine:
                groups = engine.generate([Prompt(parts=(f"{index}",)) for index in range(20)], SamplingParams())
            assert [group[0].text for group in groups] == [f"{VERDICT} {index}" for index in range(20)]
            assert time.monotonic() - began < 60
