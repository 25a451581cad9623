"""Open a model on several processes, sharded or not, with and without adapters, and compare with the model as
transformers opens it.

python tests/urt_train/load_runs.py <model folder> <judge.json folder> <empty folder> [--large MIB]

`--large`: instead, measure what eight processes hold together when they open a model of that many MiB, policy and
reference.
"""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh

from tests.urt_train.reshard_runs import run_together, whole
from urt_core import JudgeSpec
from urt_train.config import LoraConfig
from urt_train.model.lora import add_adapters
from urt_train.model.policy import Policy
from urt_train.model.sharding import shard
from urt_train.runtime.ranks import world

CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "spec", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--large", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    spec = JudgeSpec.load(arguments.spec)
    Policy.from_pretrained(arguments.model, spec=spec)  # imports what a child would
    if arguments.large:
        measure(arguments.model, spec, arguments.output, mib=arguments.large)
        return
    renamed = with_older_names(arguments.model, arguments.output / "renamed")
    runs = [
        (arguments.model, None, 0),
        (arguments.model, None, 4),
        (arguments.model, (2,), 4),
        (arguments.model, (2, 2), 0),
        (renamed, None, 4),
        (renamed, (2,), 0),
    ]
    for folder, mesh, rank in runs:
        run_together(
            f"{folder.name} {mesh} lora {rank}",
            lambda folder=folder, mesh=mesh, rank=rank: check(folder, spec, mesh, lora=rank),
            num_ranks=2 if mesh is None else torch.Size(mesh).numel(),
        )
    print("as it should be")


def with_older_names(model: Path, folder: Path) -> Path:
    """Without the prefix of the model inside, which transformers adds as it reads them."""
    shutil.copytree(model, folder)
    state = load_file(folder / "model.safetensors")
    old = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    assert old.keys() != state.keys()
    save_file(old, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def opened(folder: Path, spec: JudgeSpec, mesh: tuple[int, ...] | None, *, lora: int) -> Policy:
    torch.manual_seed(7)
    policy = Policy.from_pretrained(folder, spec=spec, is_deferred=True)
    policy.select_trainable(language=True, vision=False, projector=True)
    if lora:
        add_adapters(policy.model, LoraConfig(rank=lora))
    if mesh is not None:
        names = ("copies", "shards")[-len(mesh) :]
        shard(policy, init_device_mesh("cpu", mesh, mesh_dim_names=names), compute_dtype=None)
    policy.load(CPU)
    return policy.train()


def check(folder: Path, spec: JudgeSpec, mesh: tuple[int, ...] | None, *, lora: int) -> None:
    policy = opened(folder, spec, mesh, lora=lora)
    torch.manual_seed(7)
    right = Policy.from_pretrained(folder, spec=spec)
    right.select_trainable(language=True, vision=False, projector=True)
    if lora:
        add_adapters(right.model, LoraConfig(rank=lora))
    expected, found = dict(right.named_parameters()), dict(policy.named_parameters())
    assert found.keys() == expected.keys(), "tied weights are one"
    for name, parameter in found.items():
        assert parameter.requires_grad == expected[name].requires_grad, name
        assert torch.equal(whole(parameter), expected[name]), name
    for (name, buffer), (_, its_buffer) in zip(policy.named_buffers(), right.named_buffers(), strict=True):
        assert torch.equal(buffer, its_buffer), name
    assert policy.model.generation_config.to_dict() == right.model.generation_config.to_dict()
    # The head is the embedding, also for a pass.
    ids = torch.arange(10, 20)[None]
    logits = policy.with_whole_weights(lambda: policy.model(input_ids=ids).logits)
    torch.testing.assert_close(logits, right.model(input_ids=ids).logits, rtol=0, atol=1e-6)


def measure(folder: Path, spec: JudgeSpec, output: Path, *, mib: int) -> None:
    """Eight processes under FSDP2: policy and reference, private memory over that before they opened it, the largest at
    any moment."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(folder)
    config.text_config.hidden_size = config.vision_config.out_hidden_size = 512
    config.text_config.intermediate_size = 2048
    layer = 512 * 2048 * 3 * 4
    config.text_config.num_hidden_layers = max(2, (mib << 20) // layer)
    shutil.copytree(folder, output / "large", ignore=shutil.ignore_patterns("*.safetensors"))
    AutoModelForImageTextToText.from_config(config).save_pretrained(output / "large", max_shard_size="100MB")
    weights = sum(path.stat().st_size for path in (output / "large").glob("*.safetensors"))
    for kind in ("policy", "policy and reference"):

        def opens(kind: str = kind) -> None:
            before = private_bytes()
            with Peak() as peak:
                policy = opened(output / "large", spec, (8,), lora=0)
                if kind != "policy":
                    frozen = Policy.from_pretrained(output / "large", spec=spec, is_deferred=True)
                    shard(frozen, init_device_mesh("cpu", (8,), mesh_dim_names=("shards",)), compute_dtype=None)
                    frozen.load(CPU)
            total = torch.tensor([peak.bytes - before], dtype=torch.float64)
            distributed.all_reduce(total)
            if world()[0] == 0:
                copies = 1 if kind == "policy" else 2
                print(
                    f"{kind}: {total.item() / (weights * copies):.3f} x the float32 weights ({weights >> 20} MiB each)"
                )
            del policy

        run_together(kind, opens, num_ranks=8)


def private_bytes() -> int:
    """Memory that this process alone holds; pages of files that several read are the kernel's."""
    values = Path("/proc/self/smaps_rollup").read_text().split()
    return sum(int(values[values.index(name) + 1]) for name in ("Private_Dirty:", "Anonymous:")[1:]) * 1024


class Peak:
    """The most private memory while the context lasts, looked at every 5 ms."""

    def __enter__(self) -> Any:
        import threading

        self.bytes, self.stop = private_bytes(), threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.stop.wait(0.005):
            self.bytes = max(self.bytes, private_bytes())

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.thread.join()
        self.bytes = max(self.bytes, private_bytes())


Work = Callable[[], object]

if __name__ == "__main__":
    main()
    sys.exit(0)
