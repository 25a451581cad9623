"""The page at `/`, used in a real browser: two pictures, a caption, both judgements; nothing from elsewhere, nothing
taken for markup."""

import asyncio
import base64
import io
import itertools
import re
import shutil
import subprocess
import threading
from contextlib import asynccontextmanager

import aiohttp
import pytest
from PIL import Image

from urt_core import Dialect, Scorer
from urt_core.engines.scripted import ScriptedEngine
from urt_core.server import ServerSettings
from urt_core.server.running import listening_server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HTML = "<img src=x onerror=window.broken=1><b>caption</b>"


def judge(prompt, index):
    """The redder picture is better; the judgement holds markup of its own."""
    first, second = (Image.open(io.BytesIO(medium.data[0])).convert("RGB").tobytes()[0] for medium in prompt.media)
    better, scores = (1, (8, 5)) if first > second else (2, (5, 8))
    lines = [f"1. Fit: Image 1 ({scores[0]}/10) - <script>window.broken=2</script>; Image 2 ({scores[1]}/10) - plain"]
    lines += ["Total score:", f"Image 1: {scores[0]}={scores[0]}", f"Image 2: {scores[1]}={scores[1]}"]
    return "<think>\n" + "\n".join(lines) + f"\n</think>\n<answer>Image {better} is better</answer>"


@pytest.fixture
def server():
    """The address of a server with a token."""
    scorer = Scorer(engine=ScriptedEngine(script=judge), dialect=Dialect.V1, allow_paths=False)
    server, listener = listening_server(scorer, ServerSettings(port=0, token="secret"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    server.should_exit = True
    thread.join()


class Browser:
    """A page of a headless browser, by its debugging protocol."""

    def __init__(self, socket):
        self.socket, self.numbers, self.requested = socket, itertools.count(1), []

    async def call(self, method, **params):
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = await self.socket.receive_json(timeout=30)
            if message.get("method") == "Network.requestWillBeSent":
                self.requested.append(message["params"]["request"]["url"])
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    async def js(self, expression):
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, expression):
        for _ in range(200):
            if value := await self.js(expression):
                return value
            await asyncio.sleep(0.05)
        raise AssertionError(f"{expression} never came true: {await self.js('document.body.innerText')}")

    async def choose(self, selector, path):
        document = await self.call("DOM.getDocument")
        node = await self.call("DOM.querySelector", nodeId=document["root"]["nodeId"], selector=selector)
        await self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node["nodeId"])


@asynccontextmanager
async def browser(folder):
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command = [
        CHROMIUM,
        *flags,
        f"--user-data-dir={folder}",
        "--remote-debugging-port=0",
        "--window-size=1000,1100",
        "about:blank",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    drain = threading.Thread(target=process.stderr.read, daemon=True)
    try:
        port = next(found[1] for line in process.stderr if (found := re.search(r"ws://127\.0\.0\.1:(\d+)/", line)))
        drain.start()
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                address = next(
                    target["webSocketDebuggerUrl"] for target in await answer.json() if target["type"] == "page"
                )
            async with session.ws_connect(address, max_msg_size=0) as socket:
                page = Browser(socket)
                for domain in ("Page", "Runtime", "DOM", "Network"):
                    await page.call(f"{domain}.enable")
                yield page
    finally:
        process.kill()
        process.wait()
        drain.join()
        process.stderr.close()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt install chromium)")
def test_two_pictures_are_compared(server, tmp_path):
    for name, shade in (("bright", 220), ("dark", 60)):
        Image.new("RGB", (300, 200), (shade, 30, 30)).save(tmp_path / f"{name}.png")

    async def use():
        async with browser(tmp_path / "profile") as page:
            await page.call("Page.navigate", url=server)
            await page.until("document.readyState === 'complete'")
            assert await page.js("document.getElementById('ask').disabled")
            await page.choose("#first", tmp_path / "dark.png")
            await page.choose("#second", tmp_path / "bright.png")
            await page.until("document.images.length === 2 && !document.getElementById('ask').disabled")
            await page.js(f"document.getElementById('text').value = {HTML!r}")
            await page.js("document.getElementById('ask').click()")
            # The first answer is a refusal, which asks for the token.
            assert "Authorization" in await page.until("document.querySelector('#verdict.error')?.textContent")
            await page.js("document.getElementById('token').value = 'secret'; document.getElementById('ask').click()")
            verdict = await page.until(
                "document.querySelector('#drop-second.better') && document.getElementById('verdict').textContent"
            )
            assert verdict == "The second picture is better, 0 % for the first."
            assert await page.js("document.querySelectorAll('details pre').length") == 2
            assert "first picture shown first: second is better" in await page.js("document.body.innerText")
            assert (
                await page.js("document.querySelector('table').innerText.replaceAll('\\t', ' ')")
                == " first second\nfit 5 8"
            )
            assert "<script>" in await page.js("document.querySelector('details pre').textContent")
            # Neither the caption nor the judgement became markup, and nothing was fetched from elsewhere.
            assert await page.js("window.broken === undefined && document.scripts.length === 1")
            assert all(url.startswith((server, "data:")) for url in page.requested)
            assert await page.js("document.documentElement.scrollWidth <= window.innerWidth")
            picture = await page.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
            (tmp_path / "page.png").write_bytes(base64.b64decode(picture["data"]))

    asyncio.run(use())
    shown = Image.open(tmp_path / "page.png").convert("RGB")
    assert shown.width >= 800
    colours = {colour for _, colour in shown.getcolors(shown.width * shown.height) or []}
    assert {(220, 30, 30), (60, 30, 30)} <= colours  # both pictures are there


def test_the_page_is_served_without_a_token_and_may_load_nothing(server):
    async def fetch():
        async with aiohttp.ClientSession() as session, session.get(server) as answer:
            return answer.status, answer.headers, await answer.text()

    status, headers, text = asyncio.run(fetch())
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/html")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", text)
    assert "secret" not in text
