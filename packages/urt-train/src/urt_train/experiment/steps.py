"""The steps of an experiment in their order: what each needs, what it writes, and who does it.

prepare_data -> distill -> cold_start -> rejection_sampling -> grpo
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from urt_train.config import Stage, TrainConfig
from urt_train.errors import MissingStageError
from urt_train.model.embedded import model_source
from urt_train.runtime.launch import num_processes


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Step(name="grpo", program="train", arguments=("stage=grpo",), needs=(Path("outputs/tiny/data/hard/manifest.json"), ...),
    writes=(Path("outputs/tiny/grpo/model/judge.json"),))
    """

    name: str
    program: str
    """The program that does the step by itself; its name behind `urt-train`."""
    arguments: tuple[str, ...]
    """What is said to the program beside the recipe."""
    needs: tuple[Path, ...]
    """Files that must be there; each is the last that an earlier step writes."""
    writes: tuple[Path, ...]
    """Files that say the step is done."""

    @property
    def is_done(self) -> bool:
        return all(path.exists() for path in self.writes)

    def command(self, config: TrainConfig) -> str:
        """To be pasted: what was said on the command line is repeated, but for the stage."""
        said = {given.partition("=")[0]: given for given in config.given if not given.startswith("stage=")}
        own = {argument.partition("=")[0]: argument for argument in (f"recipe={config.recipe}", *self.arguments)}
        program = [] if self.program == "train" else [self.program]
        return shlex.join(["urt-train", *program, *(own | said).values()])


def steps(config: TrainConfig) -> list[Step]:
    """All steps of the recipe, in their order."""

    def shards(split: str) -> Path:
        return config.data_dir(split) / "manifest.json"

    def model(stage: Stage) -> Path:
        return model_folder(config, stage) / "judge.json"

    def start(stage: Stage, earlier: Stage) -> tuple[Path, ...]:
        """The model of the stage before, unless the config names another."""
        return () if getattr(config, stage.value).initial else (model(earlier),)

    return [
        Step(
            name="prepare_data",
            program="prepare_data",
            arguments=(f"data={config.data.source}",),
            needs=(),
            writes=tuple(shards(split) for split in config.data.counts or own_splits(config)),
        ),
        Step(
            name="distill",
            program="distill",
            arguments=(),
            needs=(shards(config.distill.split),),
            writes=(shards("cold_start"),),
        ),
        Step(
            name="cold_start",
            program="train",
            arguments=("stage=cold_start",),
            needs=(shards("cold_start"),),
            writes=(model(Stage.cold_start),),
        ),
        Step(
            name="rejection_sampling",
            program="train",
            arguments=("stage=rejection_sampling",),
            needs=(
                shards(config.pool_split),
                *start(Stage.rejection_sampling, Stage.cold_start),
                *((shards("cold_start"),) if config.rejection_sampling.replay else ()),
            ),
            writes=(shards("accepted"), shards("hard"), model(Stage.rejection_sampling)),
        ),
        Step(
            name="grpo",
            program="train",
            arguments=("stage=grpo",),
            needs=(shards("hard"), *start(Stage.grpo, Stage.rejection_sampling)),
            writes=(model(Stage.grpo),),
        ),
    ]


def own_splits(config: TrainConfig) -> list[str]:
    """Splits that training needs and nothing makes: the teacher's pairs and the judge's."""
    return list(dict.fromkeys([config.distill.split, config.pool_split]))


def model_folder(config: TrainConfig, stage: Stage) -> Path:
    return config.stage_dir(stage) / "model"


def initial_model(config: TrainConfig, stage: Stage) -> str:
    """What a stage starts from: its own `initial`, else the model of the stage before, else the base."""
    given = getattr(config, stage.value).initial
    if given or stage is Stage.cold_start:
        return model_source(given or config.model.base)
    stages = list(Stage)
    return str(model_folder(config, stages[stages.index(stage) - 1]))


def missing_steps(config: TrainConfig, name: str) -> list[Step]:
    """Earlier steps to run before the step called `name`, in their order."""
    known = steps(config)
    position = [step.name for step in known].index(name)
    wanted = [path for path in known[position].needs if not path.exists()]
    missing: list[Step] = []
    for step in reversed(known[:position]):
        if set(step.writes) & set(wanted):
            missing.insert(0, step)
            wanted += [path for path in step.needs if not path.exists()]
    return missing


def run_missing(config: TrainConfig, name: str) -> None:
    """Run what the step called `name` lacks, or stop with the command to run; the recipe's `run_missing` decides."""
    missing = missing_steps(config, name)
    if missing and missing[0].name == "prepare_data" and config.data.source == "shards":
        split = next(split for split in own_splits(config) if not (config.data_dir(split) / "manifest.json").exists())
        raise MissingStageError(
            f"{name} needs labelled pairs and {config.data_dir(split)} has none; say where they are:"
            f" {config.data.setting(split)}=<folder of shards>"
        )
    if missing and (not config.run_missing or num_processes() > 1):  # not all of them at once
        raise MissingStageError(
            f"{name} needs {missing[0].writes[0].parent}, which {missing[0].name} writes; run it first: {missing[0].command(config)}"
        )
    for step in missing:
        print(f"{step.writes[0].parent} is missing: running {step.name} first")
        run_step(step, config)


def run_step(step: Step, config: TrainConfig) -> None:
    """Do the work of a step in this process; what it needs is imported when its turn comes."""
    if step.name == "prepare_data":
        from urt_train.datasets.preparation import make_pairs

        make_pairs(config)
    elif step.name == "distill":
        from urt_train.datasets.traces import make_traces

        make_traces(config)
    else:
        from urt_train.experiment.run import run_stage

        run_stage(replace(config, stage=Stage(step.name)))
