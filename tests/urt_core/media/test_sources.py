"""A data URI in every spelling that a browser reads, and in none that it does not."""

import base64
import io

import pytest
from PIL import Image

from urt_core.errors import MediaError
from urt_core.media import as_media
from urt_core.media.limits import MediaLimits
from urt_core.media.sources import data_uri_bytes
from urt_core.records import MediaKind


def encoded(kind: str = "PNG") -> bytes:
    # Noise, so that the text has every character of the alphabet and its length no padding by chance.
    image = Image.frombytes("RGB", (16, 16), bytes(index * 37 % 251 for index in range(768)))
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


PNG = encoded() + b"\xfb\xff\xfe"
TEXT = base64.b64encode(PNG).decode()
LINES = [TEXT[at : at + 76] for at in range(0, len(TEXT), 76)]

SPELLINGS = {
    "plain": f"data:image/png;base64,{TEXT}",
    "without a subtype": f"data:image;base64,{TEXT}",
    "without a type": f"data:;base64,{TEXT}",
    "another type": f"data:image/webp;base64,{TEXT}",
    "a charset": f"data:image/png;charset=utf-8;base64,{TEXT}",
    "a name": f"data:image/png;name=a%20b.png;base64,{TEXT}",
    "capitals": f"DATA:IMAGE/PNG;BASE64,{TEXT}",
    "a space before base64": f"data:image/png; base64,{TEXT}",
    "spaces around": f"  {f'data:image/png;base64,{TEXT}'}\n",
    "line ends": f"data:image/png;base64,{chr(10).join(LINES)}\n",
    "line ends of mail": f"data:image/png;base64,{(chr(13) + chr(10)).join(LINES)}",
    "no padding": f"data:image/png;base64,{TEXT.rstrip('=')}",
    "the alphabet of URLs": f"data:image/png;base64,{base64.urlsafe_b64encode(PNG).decode()}",
    "escaped": f"data:image/png;base64,{TEXT.replace('+', '%2B').replace('/', '%2f').replace('=', '%3D')}",
}


def test_the_example_uses_what_the_spellings_change() -> None:
    assert {"+", "/"} <= set(TEXT)
    assert len(LINES) > 2


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_gives_the_same_bytes(name: str) -> None:
    [data] = as_media(SPELLINGS[name], kind=MediaKind.IMAGE, allow_paths=False).data
    assert data == PNG


@pytest.mark.parametrize(
    "uri",
    ["data:image/png,abc", "data:image/png;base64", "data:image/png;base65,AAAA", "data:image/png;base64,A", "data:,"]
    + [f"data:image/png;base64,{text}" for text in ("AA*A", "AA=A", "AAAA=AAA", "ÄAAA", "AA%ZZ", "A A A A A")],
)
def test_what_is_no_base64_is_refused(uri: str) -> None:
    with pytest.raises(MediaError, match="base64"):
        data_uri_bytes(uri, name="first", limits=MediaLimits())


@pytest.mark.parametrize("filler", ["", "\n", "%0A"])
def test_no_spelling_gets_round_the_limit(filler: str) -> None:
    limits = MediaLimits(max_file_bytes=1000)
    assert len(data_uri_bytes("data:;base64," + "A" * 1332, name="first", limits=limits)) == 999
    with pytest.raises(MediaError, match="larger than 1,000 bytes"):
        data_uri_bytes("data:;base64," + ("A" * 76 + filler) * 18, name="first", limits=limits)
