"""A server behind which an endpoint stands whose answers are known and which records what reaches it."""

import base64
import io
import json
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from urt_core import Dialect, Scorer
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.media import MediaPolicy
from urt_core.server import ServerSettings, create_app

THINK = "<think>\nOverall Quality: Image 1 (8/10) - good; Image 2 (6/10) - fair\n</think>\n<answer>Image 1 is better</answer>"


FINAL = "It fits.\nFinal Score: 3.5"


def base64_of(colour, *, kind="PNG", size=(32, 32)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return base64.b64encode(buffer.getvalue()).decode()


def text(words):
    return {"type": "text", "text": words}


@pytest.fixture(scope="module")
def judge():
    """`judge.ask(route, body, says=...)` -> the answer; `judge.seen` is the last body at the endpoint, turned into
    roles and parts."""
    state = SimpleNamespace(reply=chat_reply(""), body=None)

    def script(request):
        state.body = request.json
        return state.reply

    with (
        ScriptedEndpoint(script=script) as endpoint,
        OpenAIEngine(base_url=endpoint.base_url, model="judge", policy=MediaPolicy(min_pixels=1)) as engine,
    ):
        scorer = Scorer(engine=engine, dialect=Dialect.V1, allow_paths=False)
        clients = {
            reward: TestClient(
                create_app(scorer, ServerSettings(reward=reward, contract="final_score")), base_url="http://localhost"
            )
            for reward in ("win_rate", "score")
        }

        def ask(route, body, *, says="", reward="win_rate", **choice):
            state.body, state.reply = None, chat_reply(says)
            if choice:
                [plain] = json.loads(state.reply.body)["choices"]
                state.reply = chat_reply(choices=[plain | choice])
            return clients[reward].post(route, json=body)

        def seen():
            turns = []
            for message in state.body["messages"]:
                content = message["content"]
                parts = [text(content)] if isinstance(content, str) else content
                turns.append((message["role"], [part.get("text", "image") for part in parts]))
            return turns

        yield SimpleNamespace(ask=ask, get=clients["score"].get, seen=seen, state=state)
