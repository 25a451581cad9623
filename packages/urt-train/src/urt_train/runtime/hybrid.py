"""Hybrid sharding: a copy of the model on each group of neighbouring devices, sharded inside of it."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.device_mesh import init_device_mesh

COPIES, SHARDS = "copies", "data_parallel"
"""Dimensions of the mesh; Lightning looks for the second."""


class HybridSharding(ModelParallelStrategy):
    """HybridSharding(shard_over=8, data_parallel_size=32, tensor_parallel_size=1): four copies, each sharded over 8 ranks."""

    def __init__(self, *, shard_over: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.shard_over = shard_over

    def setup_environment(self) -> None:
        super().setup_environment()
        shape = (self.world_size // self.shard_over, self.shard_over, 1)
        names = (COPIES, SHARDS, "tensor_parallel")
        self._device_mesh = init_device_mesh(self.root_device.type, shape, mesh_dim_names=names)
        assert self.lightning_module is not None, "a strategy sets up the module of its trainer"
        self.lightning_module._device_mesh = self._device_mesh

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        """Every rank has data of its own, copies of the model or not."""
        return {"num_replicas": self.world_size, "rank": self.global_rank}
