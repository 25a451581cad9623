"""Weights on their way to vLLM servers: the folder they reload, and what is said over HTTP before vLLM's own transfer
begins."""

import json
from contextlib import ExitStack

import pytest
import torch
from safetensors.torch import load_file

from urt_core.engines.endpoint.pool import ServerPool
from urt_core.engines.scripted_endpoint import Reply, Request, ScriptedEndpoint
from urt_core.errors import EngineError
from urt_train.config import WeightTransfer
from urt_train.rollouts.servers import VLLMServer
from urt_train.rollouts.weight_transfer import FolderChannel, TransferClient, open_channel


class Listener:
    """Notes what is said to a server of so many workers."""

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self.heard: list[tuple[str, dict]] = []
        self.is_configured = True

    def __call__(self, request: Request) -> Reply:
        self.heard.append((request.path, request.json if request.body else {}))
        if not self.is_configured:
            return Reply(status=500, body=b"Weight transfer not configured")
        return Reply(body=json.dumps({"world_size": self.num_workers}).encode())


@pytest.fixture
def listeners():
    return [Listener(4), Listener(2)]


@pytest.fixture
def pool(listeners):
    with ExitStack() as stack:
        endpoints = [stack.enter_context(ScriptedEndpoint(script=listener)) for listener in listeners]
        yield ServerPool([VLLMServer(each.base_url.removesuffix("/v1")) for each in endpoints], in_flight=1)


def test_servers_are_told_to_reload_a_folder_in_the_type_they_compute_in(policy, pool, listeners, tmp_path):
    folder = tmp_path / "weights"
    channel = FolderChannel(folder, dtype=torch.bfloat16)
    channel.send(policy, policy.whole_state(dtype=channel.dtype), pool)
    told = ("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}})
    assert [listener.heard for listener in listeners] == [[told], [told]]
    written = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16}
    for name, tensor in written.items():
        torch.testing.assert_close(tensor, policy.model.state_dict()[name].to(torch.bfloat16))


def test_vllms_own_transfer_gives_each_server_the_ranks_behind_the_one_before(pool, listeners):
    client = TransferClient(dict(zip(pool.servers, (4, 2), strict=True)))
    client.init_weight_transfer_engine({"master_address": "10.0.0.1", "rank_offset": 1, "world_size": 7})
    client.start_weight_update()
    client.update_weights({"names": ["a"], "dtype_names": ["float32"], "shapes": [[2, 3]]})
    client.finish_weight_update()
    paths = ["/init_weight_transfer_engine", "/start_weight_update", "/update_weights", "/finish_weight_update"]
    assert [[path for path, _ in listener.heard] for listener in listeners] == [paths, paths]
    assert [listener.heard[0][1]["init_info"]["rank_offset"] for listener in listeners] == [1, 5]
    assert listeners[1].heard[2][1] == {"update_info": {"names": ["a"], "dtype_names": ["float32"], "shapes": [[2, 3]]}}


def test_a_server_without_a_transfer_is_told_what_it_lacks(pool, listeners):
    listeners[1].is_configured = False
    with pytest.raises(EngineError, match=r"Weight transfer not configured.*--weight-transfer-config"):
        TransferClient(dict.fromkeys(pool.servers, 1)).start_weight_update()


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without CUDA")
def test_vllms_own_transfer_needs_cuda(tmp_path):
    with pytest.raises(EngineError, match=r"needs CUDA in the trainer too; set grpo\.weight_transfer=folder"):
        open_channel(WeightTransfer.nccl, folder=tmp_path, dtype="float32")
