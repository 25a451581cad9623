"""The steps of an experiment in their order: what each needs, what it writes, and who does it.

prepare_data -> distill -> cold_start -> rejection_sampling -> grpo
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from urt_core.errors import ConfigError
from urt_core.prompts.prompt import Dialect
from urt_train.config import DataPart, TrainConfig
from urt_train.errors import MissingStageError
from urt_train.model.embedded import model_source
from urt_train.runtime.launch import num_processes
from urt_train.stages import StageSpec, asked, find_stage, known_stages, spoken

BASE = "base"
"""Name of the model before any stage, where judges are measured."""
TRACES = "cold_start"
"""Split that the teacher's traces are written to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Step(name="grpo", title="Stage 3: GRPO", program="train", arguments=("stage=grpo",), needs=(Path("outputs/tiny/data/hard/manifest.json"), ...),
    writes=(Path("outputs/tiny/grpo/model/judge.json"),))
    """

    name: str
    title: str
    """Heading above what it says."""
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
    """All steps of the recipe, in their order; behind them the stage that was asked for, where the recipe does without it."""

    def shards(split: str) -> Path:
        return config.data_dir(split) / "manifest.json"

    names = [*config.stages, *([] if config.stage in config.stages else [config.stage])]
    return [
        Step(
            name="prepare_data",
            title="Make the data",
            program="prepare_data",
            arguments=(f"data={config.data.source}",),
            needs=(),
            writes=tuple(shards(split) for split in config.data.counts or own_splits(config)),
        ),
        Step(
            name="distill",
            title="Ask the teacher",
            program="distill",
            arguments=(),
            needs=tuple(
                path for split in (config.distill.split, *config.distill.further) for path in _manifests(config, split)
            ),
            writes=(shards(TRACES),),
        ),
        *(_step_of(config, find_stage(name), number) for number, name in enumerate(names, start=1)),
    ]


def _step_of(config: TrainConfig, spec: StageSpec, number: int) -> Step:
    """A stage needs what it reads and nothing of its own makes, and the judge that it starts from, unless the config names another."""
    settings = config.settings(spec.name)
    splits = dict.fromkeys([*asked(spec, "prepares_from", settings), *asked(spec, "mixes_in", settings), spec.reads])
    start = spec.starts_from if not settings.initial else None
    others = [other.name for other in known_stages() if other.name != spec.name]
    if start and start not in others:
        raise ConfigError(
            f"stage {spoken(spec.name)!r} starts from {start!r}; allowed: {', '.join(others)}, or say a model: {spec.name}.initial=<folder>"
        )
    return Step(
        name=spec.name,
        title=f"Stage {number}: {spec.title}",
        program="train",
        arguments=(f"stage={spoken(spec.name)}",),
        needs=(
            *(path for split in splits if split not in spec.writes for path in _manifests(config, split)),
            *((model_folder(config, start) / "judge.json",) if start else ()),
        ),
        writes=(
            *(config.data_dir(split) / "manifest.json" for split in spec.writes),
            model_folder(config, spec.name) / "judge.json",
        ),
    )


def _manifests(config: TrainConfig, split: str) -> tuple[Path, ...]:
    """What says that a split is there, of each of its parts; what lies at an address shows when it is opened."""
    parts = config.data.parts(config.split(split)) or (DataPart(path=config.data_place(split)),)
    return tuple(Path(part.path) / "manifest.json" for part in parts if not part.is_remote)


def own_splits(config: TrainConfig) -> list[str]:
    """Splits that training needs and nothing makes: the teacher's pairs and the judge's."""
    specs = [find_stage(name) for name in config.stages]
    made = {TRACES, *(split for spec in specs for split in spec.writes)}
    wanted = [split for spec in specs for split in asked(spec, "prepares_from", config.settings(spec.name))]
    own = [config.split(split) for split in wanted if split not in made]
    return list(dict.fromkeys([config.distill.split, *config.distill.further, *own]))


def check_stages(config: TrainConfig, *names: str) -> None:
    """What stages themselves refuse in their settings, before anything is run for them."""
    for name in names:
        asked(find_stage(name), "check", config.settings(name), Dialect(config.judge.dialect))


def model_folder(config: TrainConfig, stage: str) -> Path:
    return config.stage_dir(stage) / "model"


def initial_model(config: TrainConfig, stage: str) -> str:
    """What a stage starts from: its own `initial`, else the judge of the stage that its spec names, else the base."""
    before = find_stage(stage).starts_from
    given = config.settings(stage).initial
    if given or before is None:
        return model_source(given or config.model.base)
    return str(model_folder(config, before))


def missing_steps(config: TrainConfig, name: str) -> list[Step]:
    """Earlier steps to run before the step called `name`, in their order."""
    known = steps(config)
    position = [step.name for step in known].index(name)
    wanted = [path for path in known[position].needs if not path.exists()]
    made = {path for step in known for path in step.writes}
    if unknown := [path for path in wanted if path not in made]:
        raise MissingStageError(
            f"{name} needs {unknown[0].parent}, which is not there and which no step of the recipe writes; allowed: a split that is there,"
            " or the folder of one (data.<split>=<folder of shards>)"
        )
    missing: list[Step] = []
    for step in reversed(known[:position]):
        if set(step.writes) & set(wanted):
            missing.insert(0, step)
            wanted += [path for path in step.needs if not path.exists()]
    return missing


def refuse_missing(config: TrainConfig, name: str, missing: Sequence[Step]) -> None:
    """Stop with the command to run, where `missing` can't or may not be run before the step called `name`."""
    if missing and missing[0].name == "prepare_data" and config.data.source == "shards":
        split = next(
            split for split in own_splits(config) if not all(path.exists() for path in _manifests(config, split))
        )
        missing_from = next(path.parent for path in _manifests(config, split) if not path.exists())
        raise MissingStageError(
            f"{name} needs labelled pairs and {missing_from} has none; say where they are:"
            f" {config.data.setting(split)}=<folder of shards>"
        )
    if missing and (not config.run_missing or num_processes() > 1):  # not all of them at once
        raise MissingStageError(
            f"{name} needs {missing[0].writes[0].parent}, which {missing[0].name} writes; run it first: {missing[0].command(config)}"
        )
