"""What a forward pass costs, in floating-point operations: linear in tokens and patches, quadratic in what attends to
each other.

A matrix of N weights takes 2 N operations a token; attention takes 4 operations for each pair of query and key and each
of the heads' dimensions, in each layer (scores and weighted values; Kaplan et al., arXiv 2001.08361, section 2.1).
Backward passes cost in proportion. Windows inside of a vision tower and the gates of recurrent layers are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from urt_core.engines.image_slots import family_of, image_slots
from urt_train.model.batching import TokenBatch


class Work(NamedTuple):
    """Of one batch: Work(tokens=1651, cost=2.1e13)"""

    tokens: int
    """As the decoder gets them."""
    cost: float
    """Operations of the forward pass."""


class PassCost:
    """PassCost(policy.model, is_packed=True).of(batch)"""

    def __init__(self, model: Any, *, is_packed: bool) -> None:
        self.is_packed = is_packed
        self.slots = image_slots(model.config)
        text = model.config.get_text_config()
        inner, head = model.model, model.get_output_embeddings()
        tower = getattr(inner, "visual", None) or inner.vision_tower
        met = getattr(text, "num_experts_per_tok", None) or 1
        experts = met / (getattr(text, "num_experts", None) or met)
        self.per_token = 2.0 * _weights(inner.language_model, share={".experts.": experts})
        self.per_predicted = 2.0 * head.weight.shape[0] * head.weight.shape[1]
        self.per_pair = 4.0 * _heads(text) * _attending_layers(text)
        vision = model.config.vision_config
        merged = getattr(vision, "spatial_merge_size", 1) ** 2
        self.per_patch = 2.0 * _weights(tower, share={"merger": 1 / merged})
        self.per_patch_pair = 4.0 * vision.hidden_size * (getattr(vision, "depth", None) or vision.num_hidden_layers)

    def of(self, batch: TokenBatch) -> Work:
        prompts = batch.prompts["attention_mask"].sum(-1).double()
        own = batch.completion_mask.sum(-1).double()
        copies = 1 if self.is_packed else own.shape[1]
        tokens = float(copies * prompts.sum() + own.sum())
        pairs = float((copies * prompts.square() / 2).sum() + (prompts[:, None] * own + own.square() / 2).sum())
        patches = self.slots.patches(batch.prompts) if family_of(batch.prompts) else []
        cost = (
            self.per_token * tokens
            + self.per_pair * pairs
            + self.per_predicted * float(own.sum())
            + copies * self.per_patch * sum(patches)
            + copies * self.per_patch_pair * sum(number**2 for number in patches)
        )
        return Work(tokens=int(tokens), cost=cost)


def _weights(module: nn.Module, *, share: Mapping[str, float]) -> float:
    """Weights that each token meets, none of them those of embeddings; `share` of those whose name has such a part."""
    embeddings = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
    return sum(
        weight.numel() * next((met for part, met in share.items() if part in name), 1.0)
        for name, weight in module.named_parameters()
        if id(weight) not in embeddings and weight.ndim > 1
    )


def _heads(config: Any) -> int:
    return config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )


def _attending_layers(config: Any) -> int:
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    return sum(kind != "linear_attention" for kind in kinds)
