"""An endpoint that prefers the redder image, pictures for it, and the command as a user types it."""

import base64
import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from urt_core.cli import main
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply

JUDGEMENT = """<think>
1. Semantic consistency: Image 1 ({0}/10) - the car is [red]; Image 2 ({1}/10) - it is not
2. Aesthetics: Image 1 (7/10) - sharp; Image 2 (7/10) - sharp
3. Authenticity: Image 1 (8/10) - whole; Image 2 (8/10) - whole
Total score:
Image 1: {0}+7+8={2}
Image 2: {1}+7+8={3}
</think>
<answer>Image {4} is better</answer>"""


def judgement(first: int, second: int) -> str:
    return JUDGEMENT.format(first, second, first + 15, second + 15, 1 if first > second else 2)


def shades(request) -> list[int]:
    """The red of each image's first pixel."""
    urls = [part["image_url"]["url"] for part in request.json["messages"][0]["content"] if part["type"] == "image_url"]
    images = [Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) for url in urls]
    return [image.tobytes()[0] for image in images]


def answer(request):
    """Unreadable where an image has shade 13."""
    seen = shades(request)
    if 13 in seen:
        return chat_reply("Both are nice.\x1b[2J")
    if len(seen) == 1:
        return chat_reply("Alignment Score (1-5): 4.5\nCoherence Score (1-5): 4\nStyle Score (1-5): 3.5")
    return chat_reply(judgement(9, 4) if seen[0] > seen[1] else judgement(4, 9))


@pytest.fixture
def endpoint():
    with ScriptedEndpoint(script=answer) as running:
        yield running


@pytest.fixture
def picture(tmp_path):
    def save(shade: int) -> str:
        path = tmp_path / f"{shade}.png"
        Image.new("RGB", (16, 16), (shade, 0, 0)).save(path)
        return str(path)

    return save


@pytest.fixture
def urt(endpoint, capsys, monkeypatch):
    """urt("compare", "--task", ...) -> exit code, what was printed, what was said beside it."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(command: str, *options: object, judge: bool = True):
        asked = ["--base-url", endpoint.base_url, "--model", "judge", "--dialect", "v1"] if judge else []
        if command == "score":
            asked = asked[:4]
        code = main([command, *asked, *map(str, options)])
        printed = capsys.readouterr()
        # JSON and prompts are shown as they are.
        if not {"--json", "--dry-run"} & set(options):
            assert max(map(len, printed.out.splitlines()), default=0) <= 80
        return SimpleNamespace(code=code, out=printed.out, err=printed.err)

    return run


@pytest.fixture
def urt_process(endpoint):
    """urt_process("bench", "run", ...) -> the command in a process of its own, ended: one that starts others."""

    def run(*command: object) -> subprocess.CompletedProcess[str]:
        judge = ["--base-url", endpoint.base_url, "--model", "judge", "--dialect", "v1"]
        whole = [sys.executable, "-m", "urt_core.cli", *map(str, command), *judge]
        return subprocess.run(whole, env=os.environ, capture_output=True, text=True, timeout=120)

    return run
