"""The Lightning trainer of a run: devices, precision, strategy, loggers."""

from __future__ import annotations

import atexit
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from urt_core.errors import ConfigError
from urt_train.config import TrainerConfig
from urt_train.runtime.launch import num_processes_here

STRATEGIES = (
    "lightning.pytorch.strategies.DDPStrategy",
    "lightning.pytorch.strategies.ModelParallelStrategy",
    "lightning.pytorch.strategies.DeepSpeedStrategy",
)
HYBRID = "urt_train.runtime.hybrid.HybridSharding"
LOGGERS = (
    "lightning.pytorch.loggers.TensorBoardLogger",
    "lightning.pytorch.loggers.WandbLogger",
)


def make_trainer(
    machine: TrainerConfig,
    *,
    strategy: Mapping[str, Any] = MappingProxyType({}),
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Any] = (),
    max_grad_norm: float = 0.0,
) -> Trainer:
    """One Lightning epoch is the whole run: the loader knows how many rounds there are, and resumes in the middle.

    `strategy` is Lightning's by `_target_` and arguments; empty is Lightning's own choice. `max_grad_norm` is for
    DeepSpeed, which clips inside of its engine; everywhere else the stage does.
    """
    quiet()
    if machine.num_threads is not None:
        torch.set_num_threads(machine.num_threads)
    devices, num_nodes = _machine(machine)
    trainer = Trainer(
        accelerator=machine.accelerator,
        devices=devices,
        num_nodes=num_nodes,
        precision=machine.precision,  # pyright: ignore[reportArgumentType]  checked by the config
        strategy=make_strategy(strategy, machine),
        logger=list(loggers) or False,
        callbacks=list(callbacks),
        gradient_clip_val=(max_grad_norm or None) if zero_stage(strategy) else None,
        max_epochs=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,  # else it warns of runs with fewer steps; metrics are logged by our callback
    )
    if trainer.world_size > 1 and not _is_launched():
        raise ConfigError(
            f"trainer.devices is {machine.devices!r}, which are {trainer.world_size} processes here; allowed: 1, or as many"
            f" processes as a launcher starts: torchrun --nproc-per-node {trainer.world_size} -m urt_train ..."
        )
    if trainer.world_size > 1:
        atexit.register(_part)
    return trainer


def meet(machine: TrainerConfig, *, strategy: Mapping[str, Any]) -> Trainer:
    """From here on this process can speak with the others of the run; the trainers that come later find them met. Under plain data
    parallelism, because other strategies want to know the model first."""
    chosen = {name: strategy[name] for name in ("process_group_backend",) if name in strategy}
    trainer = make_trainer(machine, strategy={"_target_": STRATEGIES[0], **chosen} if strategy else {})
    if trainer.world_size > 1:
        trainer.strategy.setup_environment()
    return trainer


def _part() -> None:
    """Ends the group's own threads while the interpreter still lives. One that comes for the interpreter's lock when that is gone is
    unwound by Python out of C++ that must not throw, which aborts a process whose work was done (Lightning does this for NCCL)."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def check_strategy(strategy: Mapping[str, Any], *, stage: str, samples: bool) -> None:
    """What a strategy can't do for a stage that samples with the policy's weights, said before anything is loaded."""
    if samples and zero_stage(strategy) == 3:
        raise ConfigError(
            f"strategy is DeepSpeed ZeRO-3, and stage={stage} samples with whole weights, which it does not give; allowed:"
            " strategy=fsdp2, deepspeed_zero2, ddp"
        )
    if zero_stage(strategy) and not torch.cuda.is_available():
        raise ConfigError("strategy is DeepSpeed, which needs a CUDA device; allowed here: strategy=auto, ddp, fsdp2")


def zero_stage(strategy: Mapping[str, Any]) -> int:
    """0 for a strategy that is not DeepSpeed."""
    return strategy.get("config", {}).get("zero_optimization", {}).get("stage", 0)


def make_strategy(strategy: Mapping[str, Any], machine: TrainerConfig) -> Any:
    """The strategy, in which no process waits for another for longer than `trainer.timeout_s`."""
    settings = sized(strategy, machine)
    if not settings:
        if _num_launched() == 1:
            return "auto"
        settings = {"_target_": STRATEGIES[0]}  # what Lightning takes for several processes too
    patience = {"timeout": timedelta(seconds=machine.timeout_s)}
    if "shard_over" in settings:
        return third_party(_hybrid({**patience, **settings}), allowed=(HYBRID,), field="strategy")
    return third_party({**patience, **settings}, allowed=STRATEGIES, field="strategy")


def _hybrid(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of FSDP2 with `shard_over`, "node" or a number of devices, as those of our strategy."""
    if settings.get("_target_") != STRATEGIES[1]:
        raise ConfigError(
            f"strategy.shard_over is for {STRATEGIES[1]}, and strategy._target_ is {settings.get('_target_')!r}"
        )
    said, num_ranks = settings["shard_over"], settings["data_parallel_size"]
    size = num_processes_here() if said == "node" else said
    if not isinstance(size, int) or size < 1 or num_ranks % size or settings.get("tensor_parallel_size") != 1:
        raise ConfigError(
            f"strategy.shard_over is {said!r}; allowed: node, or a number of devices that divides all {num_ranks}, with"
            " strategy.tensor_parallel_size=1"
        )
    return {**settings, "_target_": HYBRID, "shard_over": size}


def _num_launched() -> int:
    return int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_NTASKS", "1")))


def _is_launched() -> bool:
    """By torchrun or SLURM, which start one process per device."""
    return "WORLD_SIZE" in os.environ or "SLURM_NTASKS" in os.environ


def _machine(machine: TrainerConfig) -> tuple[int | str, int]:
    """(devices per node, nodes). torchrun knows both; without it the config says."""
    if machine.devices == "auto" and "LOCAL_WORLD_SIZE" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return local, int(os.environ["WORLD_SIZE"]) // local
    return (machine.devices if machine.devices == "auto" else int(machine.devices)), machine.num_nodes


def sized(strategy: Mapping[str, Any], machine: TrainerConfig) -> Mapping[str, Any]:
    """The strategy's settings; `data_parallel_size: auto` shards over all devices (Lightning's own auto: over nodes
    only)."""
    if strategy.get("data_parallel_size") != "auto":
        return strategy
    per_node = int(machine.devices) if machine.devices.isdigit() else max(1, torch.cuda.device_count())
    num_ranks = int(os.environ.get("WORLD_SIZE", machine.num_nodes * per_node))  # torchrun says it
    return {**strategy, "data_parallel_size": num_ranks}


def make_loggers(loggers: Mapping[str, Mapping[str, Any]], *, folder: Path, name: str, run_id: str) -> list[Any]:
    """All write into the folder of the run; where several runs stand side by side it has this name, and goes on under
    its id."""
    places = {
        "TensorBoardLogger": {"name": "", "version": "tensorboard"},
        "WandbLogger": {"name": name, "id": run_id, "resume": "allow"},
    }
    made = []
    for key, settings in loggers.items():
        place = places.get(str(settings.get("_target_")).rpartition(".")[2], {})
        settings = {**place, "save_dir": str(folder), **settings}
        made.append(third_party(settings, allowed=LOGGERS, field=f"logger.{key}"))
    return made


def third_party(settings: Mapping[str, Any], *, allowed: Sequence[str], field: str) -> Any:
    """Build the object that `_target_` names with the other settings as its arguments."""
    arguments = dict(settings)
    target = arguments.pop("_target_", None)
    if target not in allowed:
        raise ConfigError(f"{field}._target_ is {target!r}; allowed: {', '.join(allowed)}")
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)(**arguments)
    except (ImportError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{field} can't be made ({str(error).splitlines()[0]}); look at its settings or install it"
        ) from error


def quiet() -> None:
    """The programs say themselves what happens; what is left of the libraries' messages are warnings and errors."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    # Lightning 2.6 under torch 2.13: about its own code.
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*", category=FutureWarning)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
