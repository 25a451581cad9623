"""What every model family says of the images in its prompts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from PIL.Image import Image
from torch import Tensor

from urt_core.media import MediaPolicy


class EncodedImages(NamedTuple):
    """EncodedImages(tensors={"pixel_values": [1400, 1176], "image_grid_thw": [2, 3]}, num_tokens=[200, 150])"""

    tensors: dict[str, Tensor]
    """As the model's forward pass takes them."""
    num_tokens: list[int]
    """How many copies of the image token each image takes in `input_ids`."""


class ImageSlots(ABC):
    """How a model family's prompts hold images: the chat template writes one `token` for each, which then becomes as
    many as the image has features.

        slots = image_slots(module.config)
        tensors, num_tokens = slots.encode(image_processor, [[left, right]], policy=policy)
    """

    token: ClassVar[str]
    """Stands for an image in the text of a prompt."""
    marker: ClassVar[str]
    """The tensor by which batches of this family are known."""
    not_in_vllm: ClassVar[str] = ""
    """Why vLLM would not see the images that the trainer sees; empty where it does."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def encode(self, image_processor: Any, images: Sequence[Sequence[Image]], *, policy: MediaPolicy) -> EncodedImages:
        """`images` holds those of each prompt, already scaled by `policy`; at least one of the prompts has one."""

    @property
    def processor_settings(self) -> Mapping[str, Any]:
        """What transformers' composed processor wants to know beyond tokenizer and image processor
        (`processor_config.json`)."""
        return {}

    @staticmethod
    @abstractmethod
    def num_images(prompts: Mapping[str, Tensor]) -> list[int]:
        """How many images each prompt of an encoded batch has."""

    @staticmethod
    @abstractmethod
    def take(prompts: Mapping[str, Tensor], *, images: Sequence[int], chosen: Sequence[int]) -> dict[str, Tensor]:
        """The image tensors of a batch that holds the prompts `chosen`, whose images are `images`."""

    @staticmethod
    @abstractmethod
    def join(batches: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The image tensors of one batch that holds the prompts of several, at least one of which has an image."""

    @abstractmethod
    def patches(self, prompts: Mapping[str, Tensor]) -> list[int]:
        """How many patches attend to each other in the vision tower, for each stretch of them."""
