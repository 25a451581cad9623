"""How a policy's weights reach vLLM servers.

vLLM 0.32 has a weight transfer interface of its own (`vllm.distributed.weight_transfer`; routes
init_weight_transfer_engine, start_weight_update, update_weights, finish_weight_update). Each of its backends needs CUDA
on both sides (NCCL, CUDA IPC, RDMA): on a CPU there is none. `NCCLChannel` uses it; it has not been run on a GPU here.
`FolderChannel` works on any device and is what the tests run: the weights are written once, and each server reloads
them in place (vLLM's `reload_weights`), which needs one file system.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors.torch import save_file
from torch import Tensor

from urt_core.engines.endpoint.pool import ServerPool
from urt_core.errors import EngineError, ServerError
from urt_core.streaming import BACKGROUND
from urt_train.config import WeightTransfer
from urt_train.model.policy import Policy
from urt_train.rollouts.servers import VLLMServer
from urt_train.runtime.checkpoints.checkpoint import whole_folder

HEAD = "lm_head.weight"


@runtime_checkable
class WeightChannel(Protocol):
    dtype: torch.dtype
    """What the servers compute in."""

    def send(self, policy: Policy, weights: Mapping[str, Tensor], pool: ServerPool[VLLMServer]) -> None:
        """Give weights of that type to the usable servers of the pool, which are paused. The first rank alone calls
        this."""
        ...


def open_channel(transfer: WeightTransfer, *, folder: Path, dtype: str) -> WeightChannel:
    if transfer is WeightTransfer.folder:
        return FolderChannel(folder, dtype=getattr(torch, dtype))
    if not torch.cuda.is_available():
        raise EngineError(
            "grpo.weight_transfer is nccl, which needs CUDA in the trainer too; set grpo.weight_transfer=folder"
        )
    return NCCLChannel(dtype=getattr(torch, dtype))


class FolderChannel:
    """FolderChannel(Path("outputs/tiny/grpo/served_weights"), dtype=torch.bfloat16)"""

    def __init__(self, folder: Path, *, dtype: torch.dtype) -> None:
        self.folder, self.dtype = folder.resolve(), dtype

    def send(self, policy: Policy, weights: Mapping[str, Tensor], pool: ServerPool[VLLMServer]) -> None:
        with whole_folder(self.folder) as partial:
            policy.model.save_pretrained(partial, state_dict=dict(weights))  # it takes out what is tied
            if HEAD in weights and policy.model.config.tie_word_embeddings:
                # It is left out above, being the embedding. A vLLM on a CPU computes with a packed copy of it, which it
                # only makes anew of weights that it reads under this name.
                save_file({HEAD: weights[HEAD].contiguous()}, partial / "tied_head.safetensors")
        body = {"method": "reload_weights", "kwargs": {"weights_path": str(self.folder)}}
        pool.on_each(lambda server: server.call("POST", "/collective_rpc", body=body))


class NCCLChannel:
    """One NCCL group of the first rank and the workers of all servers; tensors are packed into buckets by vLLM.

    A server that is lost between two hand-overs leaves the group, which is then opened anew; one that dies in the
    middle of a broadcast blocks it.
    """

    def __init__(self, *, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.members: tuple[VLLMServer, ...] = ()
        self.sender: Any = None
        self.source: Any = None

    def send(self, policy: Policy, weights: Mapping[str, Tensor], pool: ServerPool[VLLMServer]) -> None:
        if tuple(pool.usable) != self.members:
            self._open(pool)
        if self.sender is None:
            return
        self.source.weights = weights
        self.sender.send_weights()
        self.source.weights = {}

    def _open(self, pool: ServerPool[VLLMServer]) -> None:
        from vllm.distributed.weight_transfer import WeightTransferTrainerFactory
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo
        from vllm.utils.network_utils import get_ip, get_open_port

        if self.sender is not None:
            self.sender.shutdown()
            self.sender = None
            pool.on_each(lambda server: server.call("POST", "/shutdown_weight_transfer_engine"))
        sizes = pool.on_each(lambda server: server.call("GET", "/get_world_size"))
        num_workers = {server: int(size["world_size"]) for server, size in sizes.items()}
        self.members = tuple(num_workers)
        if not self.members:
            return
        self.source = weight_source()
        self.sender = WeightTransferTrainerFactory.trainer_init(
            init_info=NCCLTrainerInitInfo(
                rank=0,
                master_address=get_ip(),
                master_port=get_open_port(),
                world_size=1 + sum(num_workers.values()),
            ),
            client=TransferClient(num_workers),
            source=self.source,
        )


class TransferClient:
    """vLLM's client protocol for one server, spoken to several at once; each gets the ranks behind those of the servers
    before it."""

    def __init__(self, num_workers: Mapping[VLLMServer, int]) -> None:
        self.num_workers = dict(num_workers)

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        bodies, offset = [], init_info["rank_offset"]
        for num_workers in self.num_workers.values():
            bodies.append({"init_info": init_info | {"rank_offset": offset}})
            offset += num_workers
        self._post("/init_weight_transfer_engine", bodies)

    def start_weight_update(self) -> None:
        self._post("/start_weight_update")

    def update_weights(self, update_info: Any) -> None:
        self._post("/update_weights", [{"update_info": update_info}] * len(self.num_workers))

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._post("/finish_weight_update", [{"weight_version": weight_version}] * len(self.num_workers))

    def _post(self, path: str, bodies: Sequence[dict[str, Any] | None] | None = None) -> None:
        async def all_calls() -> None:
            await asyncio.gather(
                *(
                    server.call("POST", path, body=body)
                    for server, body in zip(self.num_workers, bodies or [None] * len(self.num_workers), strict=True)
                )
            )

        try:
            BACKGROUND.run(all_calls())
        except ServerError as error:
            raise EngineError(
                f'{error}; every server needs --weight-transfer-config \'{{"backend": "nccl"}}\' (grpo.weight_transfer)'
            ) from error


def weight_source() -> Any:
    """vLLM's `WeightSource` over whole tensors, moved to the device one after the other. Made here, where vLLM is
    installed."""
    from vllm.distributed.weight_transfer import ParamMeta, WeightSource

    class WholeWeights(WeightSource):
        weights: Mapping[str, Tensor]

        def metadata(self) -> list[ParamMeta]:
            return [ParamMeta(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in self.weights.items()]

        def __iter__(self) -> Iterator[tuple[str, Tensor]]:
            for name, tensor in self.weights.items():
                yield name, tensor.to("cuda").contiguous()

    return WholeWeights()
