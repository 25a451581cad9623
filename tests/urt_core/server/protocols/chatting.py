"""The chat route over a scripted judge, as a client sees it."""

import base64
import io

from fastapi.testclient import TestClient
from PIL import Image

from urt_core import Scorer
from urt_core.engines.scripted import ScriptedEngine
from urt_core.server import create_app


def picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def client_of(script):
    """The official client, straight into the application."""
    engine = ScriptedEngine(script=script, model="judge")
    app = TestClient(create_app(Scorer(engine=engine, allow_paths=False)), base_url="http://127.0.0.1/v1/")
    return engine, app


def user(content):
    return {"messages": [{"role": "user", "content": content}]}


def ask(script, **changes):
    engine, app = client_of(script)
    content = [{"type": "image_url", "image_url": {"url": picture()}}, {"type": "text", "text": "Which is better?"}]
    return engine, app.post("chat/completions", json={"messages": [{"role": "user", "content": content}]} | changes)
