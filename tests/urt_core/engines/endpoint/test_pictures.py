"""A picture is encoded once, whoever asks for it how often; what is held is bounded, and nobody's going away takes it from others."""

import asyncio
import io
import json
import threading
from types import SimpleNamespace

import pytest
from PIL import Image

from urt_core import Scorer
from urt_core.engines import chat
from urt_core.engines.chat import image_format_name, picture_parts
from urt_core.engines.endpoint.pictures import Pictures, identity
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.errors import ConfigError, MediaError
from urt_core.media import MediaPolicy
from urt_core.records import Media, MediaKind

POLICY = MediaPolicy(min_pixels=1)


def medium(shade, size=8):
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (shade, 0, 0)).save(buffer, "PNG")
    return Media(kind=MediaKind.IMAGE, files=(f"{shade}.png",), data=(buffer.getvalue(),))


@pytest.fixture
def encoded(monkeypatch):
    """How many pictures were encoded, and a gate that encoding waits for."""
    original, counted, gate = chat.data_uri, [], threading.Event()
    gate.set()

    def count(image, image_format):
        counted.append(image_format)
        gate.wait(10)
        return original(image, image_format)

    monkeypatch.setattr(chat, "data_uri", count)
    return SimpleNamespace(seen=counted, gate=gate)


def test_many_askers_at_once_share_one_encoding(encoded):
    async def main():
        pictures, one = Pictures(policy=POLICY, image_format="png"), medium(1)
        found = await asyncio.gather(*(pictures.parts(one) for _ in range(20)))
        again = await pictures.parts(one)
        return found, again

    found, again = asyncio.run(main())
    assert len(encoded.seen) == 1
    assert {*found, again} == {picture_parts(medium(1), policy=POLICY, image_format="png")}
    assert json.loads(again[0])["image_url"]["url"].startswith("data:image/png;base64,")


def test_who_goes_away_leaves_the_picture_to_the_others(encoded):
    async def main():
        pictures, one = Pictures(policy=POLICY, image_format="png"), medium(1)
        encoded.gate.clear()
        first, second = (asyncio.ensure_future(pictures.parts(one)) for _ in range(2))
        await asyncio.sleep(0.05)
        first.cancel()
        encoded.gate.set()
        return await second

    assert asyncio.run(main())
    assert len(encoded.seen) == 1


def test_what_is_held_is_bounded_in_bytes(encoded):
    async def main():
        size = len(picture_parts(medium(0, 64), policy=POLICY, image_format="png")[0])
        pictures = Pictures(policy=POLICY, image_format="png", max_bytes=4 * size)
        media = [medium(shade, 64) for shade in range(12)]
        encoded.seen.clear()
        for one in media:
            await pictures.parts(one)
        assert pictures.num_bytes <= 4 * size
        await pictures.parts(media[-1])
        assert len(encoded.seen) == 12
        await pictures.parts(media[0])  # let go long ago
        assert len(encoded.seen) == 13

    asyncio.run(main())


def test_a_broken_picture_fails_for_all_and_is_tried_again():
    broken = Media(kind=MediaKind.IMAGE, files=("a.png",), data=(b"x",))

    async def main():
        pictures = Pictures(policy=POLICY, image_format="png")
        for _ in range(2):
            results = await asyncio.gather(*(pictures.parts(broken) for _ in range(3)), return_exceptions=True)
            assert all(isinstance(result, MediaError) for result in results)
        assert not pictures._entries

    asyncio.run(main())


def test_a_file_is_known_by_its_time_and_size(tmp_path):
    path = tmp_path / "a.png"
    on_disk = Media(kind=MediaKind.IMAGE, files=(str(path),))
    missing = identity(on_disk)
    Image.new("RGB", (8, 8)).save(path)
    first = identity(on_disk)
    Image.new("RGB", (64, 64)).save(path)
    assert len({missing, first, identity(on_disk)}) == 3


def test_a_ranking_encodes_each_picture_once(encoded):
    reply = chat_reply("<think>ok</think><answer>Image 1 is better</answer>")
    with ScriptedEndpoint(script=lambda request: reply) as endpoint:
        with OpenAIEngine(base_url=endpoint.base_url, model="judge", policy=POLICY, image_format="jpeg-80") as engine:
            ranking = Scorer(engine=engine).rank(
                task="image_generation", text="a", candidates=[medium(shade) for shade in range(8)]
            )
        assert endpoint.num_requests == 56
    assert encoded.seen == ["jpeg-80"] * 8
    assert next(iter(ranking.comparisons.values())).model == "judge@jpeg-80"


def test_the_quality_of_a_jpeg_is_the_one_that_is_named():
    noise = Image.effect_noise((64, 64), 64).convert("RGB")
    sizes = {name: len(chat.data_uri(noise, name)) for name in ("jpeg-10", "jpeg-50", "jpeg-95", "jpeg", "jpeg-100")}
    assert sizes["jpeg-10"] < sizes["jpeg-50"] < sizes["jpeg-95"] == sizes["jpeg"] < sizes["jpeg-100"]


@pytest.mark.parametrize("name", ["gif", "jpeg-0", "jpeg-101", "jpeg-", "jpeg-1e1", "png-3", "", None, 5])
def test_other_formats_are_refused(name):
    with pytest.raises(ConfigError, match="image_format"):
        image_format_name(name)
