"""Images in LLaVA-OneVision (arXiv 2408.03326), in transformers' `LlavaOnevisionForConditionalGeneration` layout."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import pad

from urt_core.engines.image_slots.base import EncodedImages, ImageSlots
from urt_core.errors import EngineError
from urt_core.media import MediaPolicy

IN_COMPANY = 1
"""Tiles of an image that is not alone in its prompt."""


class LlavaOnevisionSlots(ImageSlots):
    """Tiles of 384 x 384 (SigLIP), each of 27 x 27 features.

    The only image of a prompt is shown whole in one tile and again cut into the tiles of the grid pinpoint that fits it
    best, of which only features of the image itself are kept, a newline behind each row, thinned to about nine tiles
    (`anyres_max_9`): 3,699 tokens for 512 x 512. Where a prompt has several images, or the frames of a video, each is
    padded to a square and takes one tile and one newline: 730 tokens. So transformers' processor does it with the
    images of each prompt in a list of their own, and the model with `batch_num_images`; so we do. UnifiedReward-Think's
    code pads pairs like this in fine-tuning (`llava_think/train/train.py`), pools the frames of a video there to 196
    features, and cuts every image into tiles in GRPO and inference (CodeGoat24/UnifiedReward).

    The processor knows no limits on pixels. Those of the media policy are met before it: frames come scaled, at their
    aspect ratio (the original resizes them to 512 x 512, at whatever ratio).
    """

    token = "<image>"
    marker = "image_sizes"
    not_in_vllm = (
        "vLLM cuts every image of a LLaVA-OneVision prompt into tiles, also where a prompt has several, and transformers only a single one:"
        " its prompts are not those that are trained on"
    )

    def encode(self, image_processor: Any, images: Sequence[Sequence[Image]], *, policy: MediaPolicy) -> EncodedImages:
        if image_processor.image_grid_pinpoints != self.config.image_grid_pinpoints:
            raise EngineError(
                "image_grid_pinpoints of the image processor are not those of the model's config, which would read other tiles than it is"
                " given; make preprocessor_config.json and config.json agree"
            )
        shown = [list(own) for own in images if own]
        pixels = image_processor(images=shown, return_tensors="pt")
        tensors = {name: pixels[name] for name in ("pixel_values", "image_sizes")}
        tensors["batch_num_images"] = torch.tensor([len(own) for own in images])
        is_alone = [len(own) == 1 for own in shown for _ in own]
        sizes = tensors["image_sizes"].tolist()
        return EncodedImages(
            tensors=tensors,
            num_tokens=[self._num_features(size, alone) for size, alone in zip(sizes, is_alone, strict=True)],
        )

    def _num_features(self, size: Sequence[int], is_alone: bool) -> int:
        """What the model's own packing makes of an image of this height and width, tried with features one number
        wide."""
        from transformers.models.llava_onevision.modeling_llava_onevision import (
            LlavaOnevisionModel,
            image_size_to_num_patches,
        )

        pinpoints, tile = self.config.image_grid_pinpoints, self.config.vision_config.image_size
        tiles = image_size_to_num_patches(size, pinpoints, tile) if is_alone else IN_COMPANY
        features = torch.zeros(tiles, self._features_of_tile, 1)
        _, [number] = LlavaOnevisionModel.pack_image_features(
            cast(Any, SimpleNamespace(config=self.config)),
            [features],
            torch.tensor([size]),
            image_newline=torch.zeros(1),
            vision_aspect_ratio=self.config.vision_aspect_ratio,
        )
        return int(number)

    @property
    def _features_of_tile(self) -> int:
        vision = self.config.vision_config
        return (vision.image_size // vision.patch_size) ** 2

    @property
    def processor_settings(self) -> Mapping[str, Any]:
        return {
            "processor_class": "LlavaOnevisionProcessor",
            "num_image_tokens": self._features_of_tile,
            "vision_feature_select_strategy": self.config.vision_feature_select_strategy,
            "vision_aspect_ratio": self.config.vision_aspect_ratio,
            "image_token": self.token,
        }

    @staticmethod
    def num_images(prompts: Mapping[str, Tensor]) -> list[int]:
        return prompts["batch_num_images"].tolist()

    @staticmethod
    def take(prompts: Mapping[str, Tensor], *, images: Sequence[int], chosen: Sequence[int]) -> dict[str, Tensor]:
        numbers = prompts["batch_num_images"][list(chosen)]
        pixels = prompts["pixel_values"][list(images)]
        if not (numbers == 1).any():  # the other tiles are padding
            pixels = pixels[:, :IN_COMPANY]
        return {
            "pixel_values": pixels,
            "image_sizes": prompts["image_sizes"][list(images)],
            "batch_num_images": numbers,
        }

    @staticmethod
    def join(batches: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        shown = [prompts for prompts in batches if "image_sizes" in prompts]
        tiles = max(prompts["pixel_values"].shape[1] for prompts in shown)
        return {
            "pixel_values": torch.cat(
                [
                    pad(pixels, (0, 0, 0, 0, 0, 0, 0, tiles - pixels.shape[1]))
                    for pixels in (prompts["pixel_values"] for prompts in shown)
                ]
            ),
            "image_sizes": torch.cat([prompts["image_sizes"] for prompts in shown]),
            "batch_num_images": torch.cat(
                [
                    prompts.get("batch_num_images", torch.zeros(len(prompts["input_ids"]), dtype=torch.long))
                    for prompts in batches
                ]
            ),
        }

    def patches(self, prompts: Mapping[str, Tensor]) -> list[int]:
        """Those of each tile."""
        images, tiles = prompts["pixel_values"].shape[:2]
        return [self._features_of_tile] * (images * tiles)
