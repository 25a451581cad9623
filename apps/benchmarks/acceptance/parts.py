"""The parts of the acceptance: what each shows, what it needs, and the commands that do it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("core", "data", "kernels", "train")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Part(name="zero_2", title="ZeRO-2 on one GPU", commands=[["python", ...]], packages=("deepspeed",), num_gpus=1)"""

    name: str
    title: str
    commands: list[list[str]]
    packages: tuple[str, ...] = ()
    """What must be installed beside our own requirements."""
    num_gpus: int = 0
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs(self) -> str:
        gpus = f"{self.num_gpus} GPU" + "s" * (self.num_gpus > 1)
        return ", ".join([*self.packages, *([gpus] if self.num_gpus else [])])

    def missing(self) -> str:
        """Why it can't be run here; empty where it can."""
        absent = [name for name in self.packages if find_spec(name) is None]
        if absent:
            return f"{', '.join(absent)} is not installed"
        if torch.cuda.device_count() < self.num_gpus:
            return f"{torch.cuda.device_count()} of {self.num_gpus} GPUs are here"
        return ""

    def environment(self) -> dict[str, str]:
        """Works in a bare clone too: the four packages and apps/ are found without being installed."""
        places = [str(ROOT / "packages" / f"urt-{name}" / "src") for name in PACKAGES] + [str(ROOT / "apps"), str(ROOT)]
        path = os.pathsep.join([*places, *filter(None, [os.environ.get("PYTHONPATH")])])
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        return {**os.environ, **offline, "PYTHONPATH": path, **self.variables}


def parts(*, device: str, out: Path, model: str = "") -> list[Part]:
    """By worth: what is most in doubt first. `model` is the size of apps/bench_train.py that is measured."""
    on_gpu = device == "cuda"
    gpu = 1 if on_gpu else 0
    model = model or ("qwen3_vl_2b" if on_gpu else "tiny")
    python, apps = sys.executable, ROOT / "apps"

    def program(name: str, *arguments: str) -> list[str]:
        return [python, str(apps / name), *arguments]

    def check(name: str, *arguments: str) -> list[str]:
        return [python, "-m", "benchmarks.acceptance.checks", name, f"device={device}", *arguments]

    def timed(*arguments: str) -> list[str]:
        return program("bench_train.py", f"device={device}", f"model={model}", *arguments)

    # Runs of each function: a CPU takes a second for one, and other work beside it makes minutes of thirty.
    repetitions = [] if on_gpu else ["--repetitions", "5"]
    data = out / "tiny" / "data"
    machine = [f"trainer.accelerator={'gpu' if on_gpu else 'cpu'}", "trainer.devices=1", "trainer.progress_bar=false"]
    few = "data.counts={train: {image_generation: 64}, pool: {image_generation: 32}, test: {image_generation: 16}}"
    shards = [f"data.{name}={data / split}" for name, split in (("train", "train"), ("cold_start", "cold_start"))]
    shards += [f"data.hard={data / 'train'}", f"data.pool={data / 'pool'}", f"data.test={data / 'test'}"]

    def stage(name: str, folder: str, *settings: str, launcher: list[str] | None = None) -> list[str]:
        """A short run of a stage on the embedded pairs."""
        size = "2" if not on_gpu else "20"
        short = [
            f"stage={name}",
            f"{name}.max_steps={size}",
            f"{name}.save_every=1",
            "run_missing=false",
            "ckpt_path=null",
        ]
        if name == "grpo":
            short += ["grpo.prompts_per_rollout=4", "grpo.group_size=4", "grpo.micro_batch_size=8"]
            short += [f"grpo.initial={out / 'short' / 'tiny' / 'cold_start' / 'model'}", "grpo.learning_rate=1e-6"]
        else:
            short += [f"{name}.batch_size=8", f"{name}.micro_batch_size=4"]
        starts = launcher or [python]
        where = f"output_root={out / folder}"
        return [*starts, "-m", "urt_train", "recipe=tiny", *short, *machine, *shards, where, *settings]

    torchrun = [python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    prepare = [python, "-m", "urt_train", "prepare_data", "recipe=tiny", f"output_root={out}", few]
    distill = [python, "-m", "urt_train", "distill", "recipe=tiny", f"output_root={out}", few, "run_missing=false"]
    strategy = "strategy=fsdp2" if on_gpu else "strategy=auto"
    return [
        Part(
            name="kernels",
            title="every kernel against fp64, bitwise repeatable, batch-invariant",
            commands=[program("bench_kernels.py", "--check-only")],
            num_gpus=gpu,
        ),
        Part(
            name="tests",
            title="the tests marked gpu",
            commands=[[python, "-m", "pytest", "-q", "-m", "gpu", str(ROOT / "tests"), "-p", "no:cacheprovider"]],
            packages=("pytest",),
            num_gpus=1,
        ),
        Part(
            name="packed_rows",
            title="log-probs and gradients of packed rows against padded ones; float32 and bfloat16",
            commands=[check("packed_rows", f"model={model}")],
            num_gpus=gpu,
        ),
        Part(
            name="flex",
            title="FlexAttention forward and backward against SDPA",
            commands=[check("attention", "attention=flex", f"model={model}")],
            num_gpus=1,
        ),
        Part(
            name="flash",
            title="flash-attention against SDPA",
            commands=[check("attention", "attention=flash_attention_2", f"model={model}")],
            packages=("flash_attn",),
            num_gpus=1,
        ),
        Part(
            name="update_512",
            title="update phase at 512 px: shared prefix, padded, TRL where it is there; MFU and memory",
            commands=[timed(f"pixels={512 if on_gpu else 64}", "group_size=8", "generate=false", "repeats=3")],
            num_gpus=gpu,
        ),
        Part(
            name="update_1024",
            title="the same at 1024 px",
            commands=[timed(f"pixels={1024 if on_gpu else 96}", "group_size=8", "generate=false", "repeats=3")],
            num_gpus=gpu,
        ),
        Part(
            name="kernels_quick",
            title="times of the kernels, one shape each",
            commands=[program("bench_kernels.py", "--quick", *repetitions)],
            num_gpus=gpu,
        ),
        Part(
            name="data",
            title="embedded pairs and the teacher's traces for the parts below; a short cold start",
            commands=[prepare, distill, stage("cold_start", "short")],
            num_gpus=gpu,
        ),
        Part(
            name="grpo",
            title="a short GRPO run, killed by nothing",
            commands=[stage("grpo", "short")],
            num_gpus=gpu,
        ),
        Part(
            name="fsdp2",
            title="FSDP2 through torchrun on one device; checkpoint and resume",
            commands=[
                stage("cold_start", "fsdp2", strategy, launcher=[*torchrun, "1"]),
                check("checkpoint", f"folder={out / 'fsdp2' / 'tiny' / 'cold_start' / 'checkpoints'}"),
            ],
            num_gpus=gpu,
        ),
        Part(
            name="bf16",
            title="GRPO in bf16-mixed: engine and trainer agree within 1.02",
            commands=[
                stage("grpo", "bf16", "trainer.precision=bf16-mixed", "grpo.parity_limit=1.02", "grpo.parity_every=1")
            ],
            num_gpus=gpu,
        ),
        Part(
            name="lora",
            title="GRPO with adapters",
            commands=[stage("grpo", "lora", "model.lora.rank=8")],
            packages=("peft",),
            num_gpus=gpu,
        ),
        Part(
            name="zero_2",
            title="DeepSpeed ZeRO-2",
            commands=[stage("cold_start", "zero_2", "strategy=deepspeed_zero2", launcher=[*torchrun, "1"])],
            packages=("deepspeed",),
            num_gpus=1,
        ),
        Part(
            name="vllm",
            title="GRPO with vLLM in the process: hand-over, parity, sleep and wake before every rollout",
            commands=[stage("grpo", "vllm", "grpo.engine=vllm", "grpo.parity_every=1", "grpo.vllm_cache_gib=1")],
            packages=("vllm",),
            num_gpus=gpu,
            variables={"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
        ),
        Part(
            name="node_fsdp2",
            title="FSDP2 on all GPUs of the node",
            commands=[
                stage("cold_start", "node", "strategy=fsdp2", "trainer.devices=auto", launcher=[*torchrun, "gpu"])
            ],
            num_gpus=2,
        ),
        Part(
            name="demo",
            title="the whole tiny recipe on the GPU",
            commands=[[python, "-m", "urt_train", "pipeline", "recipe=tiny", f"output_root={out / 'demo'}", *machine]],
            num_gpus=1,
        ),
    ]
