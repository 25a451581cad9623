"""Scenes to pixels: an image of 64 x 64, a clip of four frames of 48 x 48, with one visible flaw or none.

Every random choice comes from the `random.Random` that the caller seeds, so a scene drawn twice is equal byte for byte.
"""

import functools
import io
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from urt_data.sprites.world import SHAPES, Flaw, Group, Scene

SHEET_FILE = Path(__file__).with_name("sheet.png")
SHEET_SIZE = 48
IMAGE_SIZE = 64
FRAME_SIZE = 48
NUM_FRAMES = 4
SPRITE_SIZE = 20
RGB = {
    "red": (225, 45, 45),
    "yellow": (245, 205, 30),
    "green": (40, 165, 70),
    "blue": (45, 95, 225),
    "purple": (150, 60, 190),
}
GROUNDS = ((240, 240, 236), (228, 236, 240), (240, 232, 222))
TINT = (255, 120, 20)
TINT_SHARE = 0.38
TRAVEL = 22  # pixels that a rising or falling thing covers over the clip


@functools.cache
def sprite(shape: str, colour: str) -> Image.Image:
    """The shape of the sheet at drawing size, its shading kept and its hue replaced by `colour`."""
    cell = Image.open(SHEET_FILE).convert("RGBA")
    left = SHAPES.index(shape) * SHEET_SIZE
    pixels = np.asarray(cell.crop((left, 0, left + SHEET_SIZE, SHEET_SIZE)), dtype=np.float64)
    light = pixels[..., :3] @ (0.299, 0.587, 0.114)  # Rec. 601 luma
    low, high = np.percentile(light[pixels[..., 3] > 128], (5, 95))
    shade = 0.6 + 0.4 * np.clip((light - low) / (high - low), 0, 1)
    tinted = np.concatenate([np.multiply.outer(shade, RGB[colour]), pixels[..., 3:]], axis=-1)
    return Image.fromarray(tinted.astype(np.uint8)).resize((SPRITE_SIZE, SPRITE_SIZE), Image.Resampling.LANCZOS)


def _broken(thing: Image.Image, flaw: Flaw | None) -> Image.Image:
    """The sprite itself, torn in two, doubled or half drawn."""
    size, half = thing.width, thing.height // 2
    if flaw == Flaw.TORN:
        torn = Image.new("RGBA", (size + 10, size + 3))
        torn.paste(thing.crop((0, 0, size, half)), (0, 0))
        torn.paste(thing.crop((0, half, size, size)), (9, half + 3))
        return torn
    if flaw == Flaw.DOUBLED:
        ghost = thing.copy()
        ghost.putalpha(thing.getchannel("A").point(lambda a: a // 2))
        doubled = Image.new("RGBA", (size + 8, size))
        doubled.alpha_composite(ghost, (8, 0))
        doubled.alpha_composite(ghost, (8, 0))
        doubled.alpha_composite(ghost, (0, 0))
        return doubled
    if flaw == Flaw.UNFINISHED:
        unfinished = thing.copy()
        unfinished.paste((0, 0, 0, 0), (0, half + 1, size, size))
        return unfinished
    return thing


def _finish(canvas: Image.Image, flaw: Flaw | None, rng: random.Random) -> Image.Image:
    """The flaws of the whole picture: blur, noise, a colour cast."""
    if flaw == Flaw.BLURRED:
        return canvas.filter(ImageFilter.GaussianBlur(1.9))
    if flaw == Flaw.NOISY:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 46, (*canvas.size[::-1], 3))
        return Image.fromarray((np.asarray(canvas) + noise).clip(0, 255).astype(np.uint8))
    if flaw == Flaw.TINTED:
        return Image.blend(canvas, Image.new("RGB", canvas.size, TINT), TINT_SHARE)
    return canvas


def draw_image(scene: Scene, *, flaws: frozenset[Flaw] = frozenset(), rng: random.Random) -> Image.Image:
    """`scene` as one RGB image, each group stacked in its half."""
    canvas = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), rng.choice(GROUNDS))
    broken = next((flaw for flaw in flaws if flaw in (Flaw.TORN, Flaw.DOUBLED, Flaw.UNFINISHED)), None)
    for side, group in enumerate(scene.groups):
        thing = _broken(sprite(group.shape, group.colour), broken)
        pitch = IMAGE_SIZE / group.count
        for index in range(group.count):
            free = pitch - SPRITE_SIZE
            x = side * 32 + rng.randint(0, 32 - min(thing.width, 30) - 1)
            y = round(index * pitch + free / 2 + rng.uniform(-0.5, 0.5) * min(free, 16))
            canvas.paste(thing, (x, y), thing)
    for flaw in sorted(flaws):
        canvas = _finish(canvas, flaw, rng)
    return canvas


def _heights(group: Group, rng: random.Random) -> list[int]:
    """The top of a thing in each frame, `NUM_FRAMES` pixels values."""
    room = FRAME_SIZE - SPRITE_SIZE
    if group.lead == "still":
        return [rng.randint(4, room - 4)] * NUM_FRAMES
    start = rng.randint(room - 4, room) if group.lead == "rising" else rng.randint(0, 4)
    step = TRAVEL / (NUM_FRAMES - 1) * (-1 if group.lead == "rising" else 1)
    return [round(start + step * frame) for frame in range(NUM_FRAMES)]


def draw_clip(scene: Scene, *, flaws: frozenset[Flaw] = frozenset(), rng: random.Random) -> list[Image.Image]:
    """`scene` as `NUM_FRAMES` RGB frames: one thing in each half, moving as its lead word says."""
    ground = rng.choice(GROUNDS)
    broken = next((flaw for flaw in flaws if flaw in (Flaw.TORN, Flaw.DOUBLED, Flaw.UNFINISHED)), None)
    frames = [Image.new("RGB", (FRAME_SIZE, FRAME_SIZE), ground) for _ in range(NUM_FRAMES)]
    other_shapes = [shape for shape in SHAPES if shape not in {group.shape for group in scene.groups}]
    turned = rng.choice(other_shapes)
    for side, group in enumerate(scene.groups):
        heights = _heights(group, rng)
        x = side * 24 + rng.randint(0, 3)
        for frame, (canvas, y) in enumerate(zip(frames, heights, strict=True)):
            shape = turned if Flaw.CHANGING in flaws and frame >= NUM_FRAMES // 2 else group.shape
            thing = _broken(sprite(shape, group.colour), broken)
            shake = (-1) ** frame * 5 if Flaw.JITTERY in flaws else 0
            canvas.paste(thing, (x + shake, y), thing)
    if Flaw.FLICKERING in flaws:
        frames = [frame.point(lambda value: value // 3) if i % 2 else frame for i, frame in enumerate(frames)]
    return frames


def encode_png(image: Image.Image) -> bytes:
    """Lossless bytes of `image`, the same for the same pixels."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()
