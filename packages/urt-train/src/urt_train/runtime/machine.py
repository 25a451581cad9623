"""The Lightning trainer that a config describes: devices, precision, strategy, loggers."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from datetime import timedelta
from importlib import import_module
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from urt_core.errors import ConfigError
from urt_train.config import TrainConfig
from urt_train.model.shared_prefix import NO_BACKWARD_ON_CPU

STRATEGIES = (
    "lightning.pytorch.strategies.DDPStrategy",
    "lightning.pytorch.strategies.ModelParallelStrategy",
    "lightning.pytorch.strategies.DeepSpeedStrategy",
)
LOGGERS = (
    "lightning.pytorch.loggers.TensorBoardLogger",
    "lightning.pytorch.loggers.WandbLogger",
)


def make_trainer(
    config: TrainConfig, *, callbacks: Sequence[Callback], samples: bool = False, with_loggers: bool = True
) -> Trainer:
    """One Lightning epoch is the whole run: the loader knows how many rounds there are, and resumes in the middle."""
    quiet()
    check_strategy(config, samples=samples)
    check_attention(config)
    if config.trainer.num_threads is not None:
        torch.set_num_threads(config.trainer.num_threads)
    devices, num_nodes = _machine(config)
    trainer = Trainer(
        accelerator=config.trainer.accelerator,
        devices=devices,
        num_nodes=num_nodes,
        precision=config.trainer.precision,  # pyright: ignore[reportArgumentType]  checked by the config
        strategy=make_strategy(config),
        logger=make_loggers(config) if with_loggers else False,
        callbacks=list(callbacks),
        gradient_clip_val=_clipping_of_deepspeed(config),
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
            f"trainer.devices is {config.trainer.devices!r}, which are {trainer.world_size} processes here; allowed: 1, or as many"
            f" processes as a launcher starts: torchrun --nproc-per-node {trainer.world_size} -m urt_train ..."
        )
    return trainer


def check_strategy(config: TrainConfig, *, samples: bool) -> None:
    """What a strategy can't do for a stage that samples with the policy's weights, said before anything is loaded."""
    if samples and zero_stage(config.strategy) == 3:
        raise ConfigError(
            f"strategy is DeepSpeed ZeRO-3, and stage={config.stage} samples with whole weights, which it does not give; allowed:"
            " strategy=fsdp2, deepspeed_zero2, ddp"
        )
    if zero_stage(config.strategy) and not torch.cuda.is_available():
        raise ConfigError("strategy is DeepSpeed, which needs a CUDA device; allowed here: strategy=auto, ddp, fsdp2")


def check_attention(config: TrainConfig) -> None:
    """`accelerator: auto` may turn out to be a CPU."""
    if config.model.attention == "flex" and not torch.cuda.is_available():
        raise ConfigError(NO_BACKWARD_ON_CPU)


def zero_stage(strategy: dict[str, Any]) -> int:
    """0 for a strategy that is not DeepSpeed."""
    return strategy.get("config", {}).get("zero_optimization", {}).get("stage", 0)


def _clipping_of_deepspeed(config: TrainConfig) -> float | None:
    """DeepSpeed clips inside of its engine; everywhere else the stage does."""
    return config.stage_config.max_grad_norm or None if zero_stage(config.strategy) else None


def make_strategy(config: TrainConfig) -> Any:
    """The strategy of the config, in which no process waits for another for longer than `trainer.timeout_s`."""
    settings = sized(config)
    if not settings:
        if _num_launched() == 1:
            return "auto"
        settings = {"_target_": STRATEGIES[0]}  # what Lightning takes for several processes too
    patience = {"timeout": timedelta(seconds=config.trainer.timeout_s)}
    return third_party({**patience, **settings}, allowed=STRATEGIES, field="strategy")


def _num_launched() -> int:
    return int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_NTASKS", "1")))


def _is_launched() -> bool:
    """By torchrun or SLURM, which start one process per device."""
    return "WORLD_SIZE" in os.environ or "SLURM_NTASKS" in os.environ


def _machine(config: TrainConfig) -> tuple[int | str, int]:
    """(devices per node, nodes). torchrun knows both; without it the config says."""
    if config.trainer.devices == "auto" and "LOCAL_WORLD_SIZE" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return local, int(os.environ["WORLD_SIZE"]) // local
    devices = config.trainer.devices
    return (devices if devices == "auto" else int(devices)), config.trainer.num_nodes


def sized(config: TrainConfig) -> dict[str, Any]:
    """The strategy's settings; `data_parallel_size: auto` shards over all devices (Lightning's own auto: over nodes only)."""
    if config.strategy.get("data_parallel_size") != "auto":
        return config.strategy
    devices = config.trainer.devices
    per_node = int(devices) if devices.isdigit() else max(1, torch.cuda.device_count())
    num_ranks = int(os.environ.get("WORLD_SIZE", config.trainer.num_nodes * per_node))  # torchrun says it
    return {**config.strategy, "data_parallel_size": num_ranks}


def make_loggers(config: TrainConfig) -> list[Any]:
    """All write into the folder of the run."""
    places = {
        "TensorBoardLogger": {"name": "", "version": "tensorboard"},
        "WandbLogger": {"name": f"{config.recipe}-{config.stage}"},
    }
    loggers = []
    for name, settings in config.logger.items():
        place = places.get(str(settings.get("_target_")).rpartition(".")[2], {})
        settings = {**place, "save_dir": str(config.stage_dir()), **settings}
        loggers.append(third_party(settings, allowed=LOGGERS, field=f"logger.{name}"))
    return loggers


def third_party(settings: dict[str, Any], *, allowed: Sequence[str], field: str) -> Any:
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
