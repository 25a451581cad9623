"""Patches end to end with a grid for each image: counted, taken apart and joined."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from urt_core.engines.image_slots.qwen_vl import QwenVLSlots
from urt_core.media import MediaPolicy

GRIDS = [(1, 4, 6), (1, 2, 2), (2, 4, 4), (1, 6, 2)]
MERGE = 2
IMAGES = [2, 0, 1, 1]
"""Of each prompt."""


def batch(grids: list[tuple[int, int, int]], images: list[int]) -> dict[str, torch.Tensor]:
    """Patches hold the number of their image; a prompt has a token for every four patches, and text around them."""
    sizes = [t * h * w for t, h, w in grids]
    patches = torch.cat([torch.full((size, 3), float(number)) for number, size in enumerate(sizes)])
    tokens = iter(size // MERGE**2 for size in sizes)
    rows = [sum(next(tokens) for _ in range(number)) for number in images]
    types = torch.zeros(len(images), 40, dtype=torch.long)
    for row, number in enumerate(rows):
        types[row, 3 : 3 + number] = 1
    return {"pixel_values": patches, "image_grid_thw": torch.tensor(grids), "mm_token_type_ids": types}


def test_images_of_each_prompt_are_told_by_its_tokens() -> None:
    assert QwenVLSlots.num_images(batch(GRIDS, IMAGES)) == IMAGES
    assert QwenVLSlots.num_images(batch(GRIDS, [0, 4])) == [0, 4]


@pytest.mark.parametrize("images", [[0], [3, 0], [1, 1], [0, 1, 2, 3]])
def test_images_are_taken_whole_in_the_order_asked_for(images: list[int]) -> None:
    taken = QwenVLSlots.take(batch(GRIDS, IMAGES), images=images, chosen=[])
    assert taken["image_grid_thw"].tolist() == [list(GRIDS[image]) for image in images]
    sizes = taken["image_grid_thw"].prod(-1)
    assert taken["pixel_values"][:, 0].tolist() == [
        float(image) for image, size in zip(images, sizes.tolist(), strict=True) for _ in range(size)
    ]


def test_what_was_taken_apart_is_joined_again() -> None:
    whole = batch(GRIDS, IMAGES)
    parts = [QwenVLSlots.take(whole, images=images, chosen=[]) for images in ([0, 1], [2], [3])]
    joined = QwenVLSlots.join([parts[0], {"input_ids": torch.zeros(1, 4)}, *parts[1:]])
    assert torch.equal(joined["pixel_values"], whole["pixel_values"])
    assert torch.equal(joined["image_grid_thw"], whole["image_grid_thw"])


def test_each_frame_attends_to_itself() -> None:
    assert QwenVLSlots(SimpleNamespace()).patches(batch(GRIDS, IMAGES)) == [24, 4, 16, 16, 12]


def test_a_policy_bounds_what_the_image_processor_makes_and_tokens_are_merged_patches() -> None:
    asked = []

    def processor(*, images, size, return_tensors):
        asked.append((len(images), size))
        return {"pixel_values": torch.zeros(36, 3), "image_grid_thw": torch.tensor([(1, 4, 6), (1, 2, 6)])}

    processor.merge_size = MERGE  # type: ignore[attr-defined]
    image = Image.new("RGB", (8, 8))
    encoded = QwenVLSlots(None).encode(
        processor, [[image], [], [image]], policy=MediaPolicy(min_pixels=64, max_pixels=1024)
    )
    assert asked == [(2, {"shortest_edge": 64, "longest_edge": 1024})]
    assert encoded.num_tokens == [6, 3]
