"""`urt serve` as a process on a free port, in front of an endpoint whose answers are known."""

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

STARTED = re.compile(r"running on (http://127\.0\.0\.1:(\d+))", re.IGNORECASE)
PIXEL = "data:image/gif;base64,R0lGODdhAQABAPAAAP8AAAAAACwAAAAAAQABAAACAkQBADs="
PAIR = {"task": "image_understanding", "text": "q", "first": "a", "second": "b", "media": PIXEL, "orders": "given"}


class Server:
    """`urt serve` in front of an endpoint, or with a model of its own."""

    def __init__(self, *judge: str, **environment: str) -> None:
        command = [sys.executable, "-m", "urt_core.cli", "serve", "--dialect", "direct", "--port", "0"]
        if judge[0].startswith("http"):
            judge = ("--model", "judge", "--base-url", *judge)
        self.process = subprocess.Popen(
            [*command, *judge], env=os.environ | environment, stderr=subprocess.PIPE, text=True
        )
        self.log = []
        assert self.process.stderr is not None
        self.stderr = self.process.stderr
        for line in self.stderr:
            self.log.append(line)
            if found := STARTED.search(line):
                self.url, self.port = found[1], int(found[2])
                break
        assert hasattr(self, "url"), "".join(self.log)
        self.reader = threading.Thread(target=lambda: self.log.extend(self.stderr))
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.stderr.close()

    def ask(self, path: str, body=None, *, timeout: float = 60, **headers: str):
        """(status, seconds, answer)"""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **headers})
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read()
        return status, time.monotonic() - began, json.loads(text)

    def metric(self, name: str) -> float:
        """The sum over all labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}(\{{| )", line))

    @property
    def memory_mb(self) -> int:
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmRSS"))

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)


@pytest.fixture
def start():
    """`start(base_url, *options)` -> a running `Server`; all are ended with the test."""
    servers = []

    def started(*judge: str, **environment: str) -> Server:
        servers.append(Server(*judge, **environment))
        return servers[-1]

    yield started
    for server in servers:
        server.__exit__()


@pytest.fixture
def pair():
    """A comparison of two answers about one pixel, in the given order alone."""
    return PAIR
