"""Pairs of red and less red pictures, and a judge that nothing but redness moves."""

import io

from PIL import Image, ImageStat

from urt_core import Media, MediaKind, Preference, PreferenceRecord, Task
from urt_core.media.frames import encoded_bytes
from urt_core.media.limits import MediaLimits


def png(shade: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), (shade, 40, 90)).save(data, "PNG")
    return data.getvalue()


def medium(shade: int) -> Media:
    return Media(kind=MediaKind.IMAGE, files=(f"{shade}.png",), data=(png(shade),))


def records(num: int) -> list[PreferenceRecord]:
    made = []
    for n in range(num):
        label = Preference.FIRST if n % 4 < 2 else Preference.SECOND
        good, bad = (200, 30) if label is Preference.FIRST else (30, 200)
        if n % 2:
            words = ("Two cars.", "No cars.") if label is Preference.FIRST else ("No cars.", "Two cars.")
            made.append(
                PreferenceRecord(
                    key=f"pair-{n}", task=Task.IMAGE_UNDERSTANDING, text="How many cars?", first=words[0], second=words[1],
                    media=medium(10), preference=label,
                )
            )  # fmt: skip
        else:
            made.append(
                PreferenceRecord(
                    key=f"pair-{n}",
                    task=Task.IMAGE_GENERATION,
                    text="a red car",
                    first=medium(good),
                    second=medium(bad),
                    preference=label,
                )
            )
    return made


def redness(media: Media) -> float:
    return ImageStat.Stat(Image.open(io.BytesIO(encoded_bytes(media, 0, limits=MediaLimits()))).convert("RGB")).mean[0]


def answers_of(prompt) -> list[str]:
    text = prompt.text
    one, two = text.index("\nAnswer 1: "), text.index("\nAnswer 2: ")
    return [text[one:two], text[two:]]


def steady(prompt, index) -> str:
    """Looks at what is shown, and at nothing else."""
    if prompt.task.is_generation:
        first, second = map(redness, prompt.media)
        return "Image 1 is better" if first > second else "Image 2 is better"
    first, _ = answers_of(prompt)
    return "Answer 1 is better" if "Two cars." in first else "Answer 2 is better"
