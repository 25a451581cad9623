"""Images in Qwen2-VL, Qwen2.5-VL, Qwen3-VL and Qwen3.5: patches of all images end to end, and the grid of each
image."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from urt_core.engines.image_slots.base import EncodedImages, ImageSlots
from urt_core.media import MediaPolicy


class QwenVLSlots(ImageSlots):
    """An image of `t` x `h` x `w` patches takes t * h * w / merge_size^2 tokens. The image processor rounds sizes to
    whole tokens within the policy's limits."""

    token = "<|image_pad|>"
    marker = "image_grid_thw"

    def encode(self, image_processor: Any, images: Sequence[Sequence[Image]], *, policy: MediaPolicy) -> EncodedImages:
        size = {"shortest_edge": policy.min_pixels, "longest_edge": policy.max_pixels}
        pixels = image_processor(images=[image for own in images for image in own], size=size, return_tensors="pt")
        tensors = {"pixel_values": pixels["pixel_values"], "image_grid_thw": pixels["image_grid_thw"]}
        num_tokens = tensors["image_grid_thw"].prod(-1) // image_processor.merge_size**2
        return EncodedImages(tensors=tensors, num_tokens=num_tokens.tolist())

    @staticmethod
    def num_images(prompts: Mapping[str, Tensor]) -> list[int]:
        """All images are merged alike, so shares of patches are shares of tokens."""
        tokens = prompts["mm_token_type_ids"].bool().sum(-1).tolist()
        patches = prompts["image_grid_thw"].prod(-1)
        patches_per_token = int(patches.sum()) // max(1, sum(tokens))
        image_tokens = iter((patches // max(1, patches_per_token)).tolist())
        numbers = []
        for wanted in tokens:
            number = 0
            while wanted > 0:
                wanted -= next(image_tokens)
                number += 1
            numbers.append(number)
        return numbers

    @staticmethod
    def take(prompts: Mapping[str, Tensor], *, images: Sequence[int], chosen: Sequence[int]) -> dict[str, Tensor]:
        grids = prompts["image_grid_thw"]
        patches = torch.split(prompts["pixel_values"], grids.prod(-1).tolist())
        return {"pixel_values": torch.cat([patches[image] for image in images]), "image_grid_thw": grids[list(images)]}

    @staticmethod
    def join(batches: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return {
            name: torch.cat([prompts[name] for prompts in batches if name in prompts])
            for name in ("pixel_values", "image_grid_thw")
        }

    def patches(self, prompts: Mapping[str, Tensor]) -> list[int]:
        """Those of each frame."""
        return [height * width for frames, height, width in prompts["image_grid_thw"].tolist() for _ in range(frames)]
