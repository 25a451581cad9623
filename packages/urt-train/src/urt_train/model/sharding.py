"""FSDP2 for a policy: which parts are sharded together, and how the engine uses sharded weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

from urt_train.model.policy import Policy, Result


def shard(policy: Policy, mesh: DeviceMesh, *, compute_dtype: torch.dtype | None) -> None:
    """Shard every block of the text and vision transformer, and the rest (embedding, head, norms) as one.

    The policy itself is the root, `token_logprobs` and `token_loss` are forward methods of it: so the head's weight is
    whole inside, tied to the embedding or not. `compute_dtype` is what weights are cast to for computing; gradients are
    summed in float32.
    """
    precision = MixedPrecisionPolicy(
        param_dtype=compute_dtype, reduce_dtype=torch.float32 if compute_dtype is not None else None
    )
    for block in blocks(policy):
        fully_shard(block, mesh=mesh, mp_policy=precision)
    fully_shard(policy, mesh=mesh, mp_policy=precision)
    register_fsdp_forward_method(policy, "token_logprobs")
    register_fsdp_forward_method(policy, "token_loss")
    # Assigned before it is registered: the registered method is the one that has the root's weights gathered.
    object.__setattr__(policy, "with_whole_weights", _gathered(policy))
    register_fsdp_forward_method(policy, "with_whole_weights")


def blocks(policy: Policy) -> list[Any]:
    """The transformer layers, by what transformers itself would never split."""
    names = set(getattr(policy.model, "_no_split_modules", None) or ())
    return [module for module in policy.model.modules() if type(module).__name__ in names]


def _gathered(policy: Policy) -> Callable[[Callable[[], Result]], Result]:
    def run_with_whole_weights(run: Callable[[], Result]) -> Result:
        """All weights stay whole while `run` lasts, so ranks that decode for different times never wait for each
        other."""
        sharded = [module for module in policy.modules() if isinstance(module, FSDPModule)]
        for module in sharded:
            module.unshard()
            module.set_reshard_after_forward(False, recurse=False)
        try:
            return run()
        finally:
            for module in sharded:
                module.set_reshard_after_forward(module is not policy, recurse=False)
                module.reshard()

    return run_with_whole_weights
