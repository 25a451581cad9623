"""A model's weights, whole and under their Hugging Face names, one at a time, however they are sharded or adapted.

One at a time, because a device that trains a shard of a large judge has no room for the whole of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor

from urt_train.model.lora import folded, has_adapters


def whole_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """("model.language_model.norm.weight", [H]) and so on; adapters are folded in. Gathering is collective: every rank
    of a sharded model takes all of them, in step. Weights that are whole already are the live ones, not copies."""
    state = model.state_dict(keep_vars=True)
    if has_adapters(model):
        yield from folded(state, scale=model.urt_lora_scale, whole=gathered)
    else:
        for name, tensor in state.items():
            yield name, gathered(tensor)


def gathered(tensor: Tensor) -> Tensor:
    """The whole of a parameter that FSDP2 or ZeRO-3 may have sharded, on this rank's device."""
    if isinstance(tensor, DTensor):
        return tensor.full_tensor().detach()
    if hasattr(tensor, "ds_id"):
        from deepspeed.runtime.zero import GatheredParameters

        with GatheredParameters([tensor]):
            return tensor.detach().clone()
    return tensor.detach()
