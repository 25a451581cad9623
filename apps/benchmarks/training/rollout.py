"""Made-up pairs of two images with completions, as a rollout leaves them for the update."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from urt_train.model.batching import ExperienceBatch

IMAGE, VISION_START, VISION_END, FIRST_TEXT = 3, 1, 2, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Setting(pixels=256, group_size=8, text_tokens=300, completion_tokens=128): two images of 256 x 256 in each
    prompt."""

    pixels: int
    group_size: int
    text_tokens: int
    completion_tokens: int
    num_prompts: int = 1
    ragged: bool = False
    """Lengths of texts and completions drawn from a third of theirs to the whole, as in a real rollout; otherwise all
    are equal."""


def make_rollout(model: Any, setting: Setting, *, seed: int = 0) -> ExperienceBatch:
    """Prompts of two random images and random text, completions, advantages that differ."""
    generator = torch.Generator().manual_seed(seed)
    vision = model.config.vision_config
    side = setting.pixels // vision.patch_size
    image = [VISION_START, *[IMAGE] * (side // vision.spatial_merge_size) ** 2, VISION_END]
    shape = (setting.num_prompts, setting.group_size, setting.completion_tokens)
    text_lengths = _lengths(setting.text_tokens, shape[:1], setting, generator)
    rows = [
        torch.tensor([*image, *image, *torch.randint(FIRST_TEXT, 1000, (length,), generator=generator).tolist()])
        for length in text_lengths.tolist()
    ]
    ids = pad_sequence(rows, batch_first=True, padding_side="left")
    completion_lengths = _lengths(setting.completion_tokens, shape[:2], setting, generator)
    completion_mask = torch.arange(setting.completion_tokens) < completion_lengths[..., None]
    num_images = 2 * setting.num_prompts
    patch_width = 3 * vision.temporal_patch_size * vision.patch_size**2
    return ExperienceBatch(
        prompts={
            "input_ids": ids,
            "attention_mask": (ids != 0).long(),
            "mm_token_type_ids": (ids == IMAGE).long(),
            "pixel_values": torch.randn(num_images * side * side, patch_width, generator=generator),
            "image_grid_thw": torch.tensor([[1, side, side]] * num_images),
        },
        completion_ids=torch.randint(FIRST_TEXT, 1000, shape, generator=generator),
        completion_mask=completion_mask,
        advantages=torch.randn(shape[:2], generator=generator),
        rollout_logprobs=torch.zeros(shape),
        num_tokens=float(completion_mask.sum()),
        num_sequences=float(math.prod(shape[:2])),
    ).trimmed()


def _lengths(longest: int, shape: tuple[int, ...], setting: Setting, generator: torch.Generator) -> Tensor:
    if not setting.ragged:
        return torch.full(shape, longest)
    return torch.randint(longest // 3, longest + 1, shape, generator=generator)


def share_of_padding(rollout: ExperienceBatch) -> float:
    """Of the tokens that rows of [prompt | completion], each as long as the longest, hold for this rollout."""
    _, group_size, length = rollout.completion_mask.shape
    prompts = rollout.prompts["attention_mask"]
    real = group_size * prompts.sum() + rollout.completion_mask.sum()
    return 1 - float(real) / (prompts.shape[0] * group_size * (prompts.shape[1] + length))


class Pictures:
    """The images of a rollout as files of that size come: decoded, not yet resized, normalised and cut into patches."""

    def __init__(self, model: Any, setting: Setting, *, seed: int = 0) -> None:
        vision = model.config.vision_config
        noise = np.random.default_rng(seed).integers(0, 256, (setting.pixels, setting.pixels, 3), dtype=np.uint8)
        self.images = [Image.fromarray(noise)] * (2 * setting.num_prompts)
        self.processor: Any = Qwen2VLImageProcessorPil(
            patch_size=vision.patch_size,
            temporal_patch_size=vision.temporal_patch_size,
            merge_size=vision.spatial_merge_size,
        )
        self.limits = {"shortest_edge": setting.pixels**2, "longest_edge": setting.pixels**2}

    def to_tensors(self) -> None:
        self.processor(images=self.images, size=self.limits, return_tensors="pt")
