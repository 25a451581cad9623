"""A server over a scripted judge, and pictures that it can tell apart."""

import base64
import io

from fastapi.testclient import TestClient
from PIL import Image

from urt_core import Completion, Dialect, FinishReason, Scorer
from urt_core.engines.scripted import ScriptedEngine
from urt_core.server import ServerSettings, create_app


def base64_png(shade: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (shade, 0, 0)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def picture(shade: int) -> str:
    return f"data:image/png;base64,{base64_png(shade)}"


def shade_of(media) -> int:
    """The red of the first pixel."""
    return Image.open(io.BytesIO(media.data[0])).tobytes()[0]


def judge(prompt, index):
    """Direct verdicts about two images, a score for one, and no answer to images of shade 13."""
    shades = [shade_of(media) for media in prompt.media]
    if 13 in shades:
        return Completion(text="", finish_reason=FinishReason.TIMEOUT, detail="no answer within 1 s")
    if len(shades) == 1:
        return f"<think>fine</think>\n<answer>Final Score: {1 + shades[0] / 255 * 4:.2f}</answer>"
    return "Image 1 is better." if shades[0] > shades[1] else "Image 2 is better."


def serve(script=judge, **settings) -> TestClient:
    scorer = Scorer(engine=ScriptedEngine(script=script), dialect=Dialect.DIRECT, allow_paths=False)
    return TestClient(create_app(scorer, ServerSettings(**settings)), base_url="http://127.0.0.1")
