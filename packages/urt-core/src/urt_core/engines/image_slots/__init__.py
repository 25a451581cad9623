"""How the prompts of each model family hold images: one file for each family, looked up by the model's type.

What differs between families is told here and nowhere else; encoding, decoding, batching and the policy ask an
`ImageSlots`.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from urt_core.engines.image_slots.base import EncodedImages, ImageSlots
from urt_core.engines.image_slots.llava_onevision import LlavaOnevisionSlots
from urt_core.engines.image_slots.qwen_vl import QwenVLSlots
from urt_core.errors import EngineError

__all__ = [
    "FAMILIES",
    "EncodedImages",
    "ImageSlots",
    "LlavaOnevisionSlots",
    "QwenVLSlots",
    "family_of",
    "image_slots",
    "require_vllm",
]

FAMILIES: dict[str, type[ImageSlots]] = {
    **dict.fromkeys(
        ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"),
        QwenVLSlots,
    ),
    "llava_onevision": LlavaOnevisionSlots,
}
"""By `model_type` of the model's config."""


def image_slots(config: Any) -> ImageSlots:
    """Those of the model that `config` describes."""
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise EngineError(
            f"model type is {config.model_type!r}, and how its prompts hold images is not known here; allowed: {', '.join(sorted(FAMILIES))};"
            " start from a model of one of these types"
        )
    return family(config)


def require_vllm(slots: ImageSlots) -> None:
    """Refuse a family that vLLM would show other images than the trainer does."""
    if slots.not_in_vllm:
        raise EngineError(f"{slots.not_in_vllm}; allowed: engine=transformers")


def family_of(prompts: Mapping[str, Tensor]) -> type[ImageSlots] | None:
    """The family whose images a batch of `encode_prompts` holds; None where it holds none."""
    return next((family for family in FAMILIES.values() if family.marker in prompts), None)
