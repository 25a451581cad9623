"""A copy of the model on each group of neighbours: what the mesh looks like from every rank. What it computes is in
test_ranks.py."""

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import distributed
from torch.testing._internal.distributed.fake_pg import FakeStore

from urt_train.runtime.hybrid import COPIES, SHARDS, HybridSharding


@pytest.mark.parametrize("rank", [0, 3, 5, 7])
def test_neighbours_hold_one_copy(rank, monkeypatch):
    strategy = HybridSharding(shard_over=4, data_parallel_size=8, tensor_parallel_size=1)
    monkeypatch.setattr(type(strategy), "world_size", 8)
    monkeypatch.setattr(type(strategy), "global_rank", rank)
    monkeypatch.setattr(type(strategy), "root_device", torch.device("cpu"))
    monkeypatch.setattr("lightning.pytorch.strategies.ModelParallelStrategy.setup_environment", lambda self: None)
    strategy._lightning_module = LightningModule()
    distributed.init_process_group("fake", store=FakeStore(), rank=rank, world_size=8)
    try:
        strategy.setup_environment()
        mesh = strategy.device_mesh[COPIES, SHARDS]
        assert mesh.mesh.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
        assert list(mesh.get_coordinate() or ()) == [rank // 4, rank % 4]
        assert strategy._lightning_module.device_mesh is strategy.device_mesh
        assert strategy.distributed_sampler_kwargs == {"num_replicas": 8, "rank": rank}
    finally:
        distributed.destroy_process_group()
