"""Scenes to pixels: an image of 64 x 48, a clip of four frames of 48 x 48, with visible flaws or none.

Every random choice comes from the `random.Random` that the caller seeds, so a scene drawn twice is equal byte for byte.
"""

import functools
import io
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from urt_data.sprites.world import AUTHENTICITY_FLAWS, SHAPES, Flaw, Group, Scene

SHEET_FILE = Path(__file__).with_name("sheet.png")
SHEET_SIZE = 48
IMAGE_SIZE = (64, 48)  # width, height
FRAME_SIZE = (48, 48)
NUM_FRAMES = 4
SPRITE_SIZE = 16
GRID = 8  # things stand on multiples of this many pixels: seeing stays cheap, so that a small model can spend itself on judging
RGB = {
    "red": (225, 45, 45),
    "yellow": (245, 205, 30),
    "green": (40, 165, 70),
    "blue": (45, 95, 225),
    "purple": (150, 60, 190),
}
OTHER_COLOUR = (40, 40, 40)  # of what a thing turns into: no thing is asked for in it
GROUNDS = ((240, 240, 236), (228, 236, 240), (240, 232, 222))
TINT = (255, 120, 20)
TINT_SHARE = 0.28
BLUR_RADIUS = 2.2
NOISE_SHARE = 0.35  # of the pixels, which get any colour
SHAKE = GRID // 2  # in pixels, sideways: between the places where things stand


@functools.cache
def sprite(shape: str, colour: tuple[int, int, int]) -> Image.Image:
    """The shape of the sheet at drawing size, its shading kept and its hue replaced by `colour`."""
    cell = Image.open(SHEET_FILE).convert("RGBA")
    left = SHAPES.index(shape) * SHEET_SIZE
    pixels = np.asarray(cell.crop((left, 0, left + SHEET_SIZE, SHEET_SIZE)), dtype=np.float64)
    light = pixels[..., :3] @ (0.299, 0.587, 0.114)  # Rec. 601 luma
    low, high = np.percentile(light[pixels[..., 3] > 128], (5, 95))
    shade = 0.6 + 0.4 * np.clip((light - low) / (high - low), 0, 1)
    tinted = np.concatenate([np.multiply.outer(shade, colour), pixels[..., 3:]], axis=-1)
    return Image.fromarray(tinted.astype(np.uint8)).resize((SPRITE_SIZE, SPRITE_SIZE), Image.Resampling.LANCZOS)


def _broken(thing: Image.Image, flaw: Flaw | None) -> Image.Image:
    """The sprite itself, torn in two, doubled or half drawn."""
    size, half = thing.width, thing.height // 2
    if flaw == Flaw.TORN:
        torn = Image.new("RGBA", (size + 7, size))
        torn.paste(thing.crop((0, 0, size, half)), (0, -1))
        torn.paste(thing.crop((0, half, size, size)), (7, half + 1))
        return torn
    if flaw == Flaw.DOUBLED:
        ghost = thing.copy()
        ghost.putalpha(thing.getchannel("A").point(_half))
        doubled = Image.new("RGBA", (size + 7, size))
        doubled.alpha_composite(ghost, (7, 0))
        doubled.alpha_composite(ghost, (7, 0))
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
        return canvas.filter(ImageFilter.GaussianBlur(BLUR_RADIUS))
    if flaw == Flaw.NOISY:
        noise = np.random.default_rng(rng.getrandbits(32))
        hit = noise.random(canvas.size[::-1]) < NOISE_SHARE
        pixels = np.array(canvas)
        pixels[hit] = noise.integers(0, 256, (int(hit.sum()), 3), dtype=np.uint8)
        return Image.fromarray(pixels)
    if flaw == Flaw.TINTED:
        return Image.blend(canvas, Image.new("RGB", canvas.size, TINT), TINT_SHARE)
    return canvas


def draw_image(scene: Scene, *, flaws: frozenset[Flaw] = frozenset(), rng: random.Random) -> Image.Image:
    """`scene` as one RGB image, each group stacked in its half."""
    canvas = Image.new("RGB", IMAGE_SIZE, rng.choice(GROUNDS))
    broken = next((flaw for flaw in flaws if flaw in AUTHENTICITY_FLAWS), None)
    width, height = IMAGE_SIZE
    for side, group in enumerate(scene.groups):
        thing = _broken(sprite(group.shape, RGB[group.colour]), broken)
        room = height // group.count // GRID * GRID  # each thing of the stack has this height to itself
        for index in range(group.count):
            x = side * width // 2 + rng.randrange(0, width // 2 - thing.width + 1, GRID)
            y = index * room + rng.randrange(0, room - SPRITE_SIZE + 1, GRID)
            canvas.paste(thing, (x, y), thing)
    for flaw in sorted(flaws):
        canvas = _finish(canvas, flaw, rng)
    return canvas


def _heights(group: Group, rng: random.Random) -> list[int]:
    """The top of a thing in each frame, in pixels: it covers one grid step a frame, or stays."""
    room = FRAME_SIZE[1] - SPRITE_SIZE
    if group.lead == "still":
        return [rng.randrange(0, room + 1, GRID)] * NUM_FRAMES
    start = GRID * rng.randint(0, room // GRID - (NUM_FRAMES - 1))
    tops = [start + GRID * frame for frame in range(NUM_FRAMES)]
    return tops if group.lead == "falling" else tops[::-1]


def draw_clip(scene: Scene, *, flaws: frozenset[Flaw] = frozenset(), rng: random.Random) -> list[Image.Image]:
    """`scene` as `NUM_FRAMES` RGB frames: one thing in each half, moving as its lead word says."""
    ground = rng.choice(GROUNDS)
    broken = next((flaw for flaw in flaws if flaw in AUTHENTICITY_FLAWS), None)
    frames = [Image.new("RGB", FRAME_SIZE, ground) for _ in range(NUM_FRAMES)]
    other_shape = rng.choice([shape for shape in SHAPES if shape not in {group.shape for group in scene.groups}])
    for side, group in enumerate(scene.groups):
        for frame, (canvas, y) in enumerate(zip(frames, _heights(group, rng), strict=True)):
            is_other = Flaw.CHANGING in flaws and frame >= NUM_FRAMES // 2
            thing = sprite(other_shape, OTHER_COLOUR) if is_other else sprite(group.shape, RGB[group.colour])
            thing = _broken(thing, broken)
            shake = SHAKE if Flaw.JITTERY in flaws and frame % 2 else 0
            canvas.paste(thing, (side * FRAME_SIZE[0] // 2 + shake, y), thing)
    if Flaw.FLICKERING in flaws:
        frames = [frame.point(_third) if i % 2 else frame for i, frame in enumerate(frames)]
    return frames


def _half(level: int) -> int:
    return level // 2


def _third(level: int) -> int:
    return level // 3


def encode_png(image: Image.Image) -> bytes:
    """Lossless bytes of `image`, the same for the same pixels."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()
