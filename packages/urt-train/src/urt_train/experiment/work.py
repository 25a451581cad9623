"""Who does a step of an experiment. What it needs is imported when its turn comes, so that naming the steps stays
light."""

from __future__ import annotations

from dataclasses import replace

from urt_train.config import TrainConfig
from urt_train.experiment.steps import Step, check_stages, missing_steps, refuse_missing
from urt_train.stages import known_stages


def run_missing(config: TrainConfig, name: str) -> None:
    """Run what the step called `name` lacks, or stop with the command to run; the recipe's `run_missing` decides."""
    missing = missing_steps(config, name)
    refuse_missing(config, name, missing)
    if missing and any(spec.name == name for spec in known_stages()):
        check_stages(config, name)
    for step in missing:
        print(f"{step.writes[0].parent} is missing: running {step.name} first")
        run_step(step, config)


def run_step(step: Step, config: TrainConfig) -> None:
    """Do the work of a step in this process."""
    if step.name == "prepare_data":
        from urt_train.experiment.data import make_pairs

        make_pairs(config)
    elif step.name == "distill":
        from urt_train.experiment.data import make_traces

        make_traces(config)
    else:
        from urt_train.experiment.run import run_stage

        run_stage(replace(config, stage=step.name))
