"""A recipe from its data to its report: every step in its order, the judge measured before the first stage and after each."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.rule import Rule

from urt_core.bench.phases import PhaseLog
from urt_core.bench.suites.tables import suite_tables
from urt_core.bench.tables import brief_table, print_tables
from urt_core.errors import ConfigError
from urt_data import ShardFolder
from urt_train.config import TrainConfig
from urt_train.experiment.assessment import assess, assess_suites, saved_assessment, saved_suites
from urt_train.experiment.results import write_results
from urt_train.experiment.steps import BASE, Step, check_stages, initial_model, model_folder, steps
from urt_train.experiment.work import run_step
from urt_train.stages import find_stage


def run_pipeline(config: TrainConfig) -> Path:
    """Run what is not done yet, print stage x task, and return the report."""
    if not config.stages:
        raise ConfigError("stages is []; allowed: one stage or more, such as [cold_start,rejection_sampling,grpo]")
    console = Console()
    costs = PhaseLog(config.output_dir / "costs.json")
    known = steps(config)
    check_stages(config, *config.stages)
    needed = {path for step in known if step.name in config.stages for path in step.needs}
    todo = [
        step for step in known if step.name == "prepare_data" or step.name in config.stages or needed & set(step.writes)
    ]
    for number, step in enumerate(todo, start=1):
        if step.name == config.stages[0]:
            measure_judge(config, BASE, "Base", initial_model(config, step.name), costs, console)
        console.print(Rule(f"{step.title}  ({number} of {len(todo)})", align="left"))
        do_step(config, step, costs, console)
        if step.name in config.stages:
            label = find_stage(step.name).label
            measure_judge(config, step.name, label, str(model_folder(config, step.name)), costs, console)
    return conclude(config, console)


def do_step(config: TrainConfig, step: Step, costs: PhaseLog, console: Console) -> None:
    """A finished step is only asked whether it was made with these settings."""
    if not step.is_done:
        with costs.measure(step.name, title=step.title):
            run_step(step, config)
    elif step.name == "prepare_data":
        refuse_other_pairs(config)
        console.print(f"{step.writes[0].parent} is there", highlight=False, soft_wrap=True)
    else:
        run_step(step, config)


def refuse_other_pairs(config: TrainConfig) -> None:
    """Pairs made earlier with another seed or in other numbers are not those that this config describes."""
    for split, counts in config.data.counts.items():
        made = ShardFolder(config.data_dir(split))
        wanted = {task: count for task, count in sorted(counts.items()) if count}
        seed = made.metadata.get("seed", config.seed)
        if made.manifest["tasks"] != wanted or seed != config.seed:
            raise ConfigError(
                f"{made.folder} holds {made.manifest['tasks']} with seed {seed}, data.counts.{split} is {wanted} with seed {config.seed}: "
                "keep the settings, choose another output_root, or remove that folder"
            )


def measure_judge(
    config: TrainConfig, name: str, label: str, checkpoint: str, costs: PhaseLog, console: Console
) -> None:
    """On every split; after the last stage also on those of the end, and by the suites."""
    title, is_last = f"Measure: {label}", name == config.stages[-1]
    splits = [*config.evaluation.splits, *(config.evaluation.splits_at_the_end if is_last else ())]
    console.print(Rule(title, align="left"))
    results = saved_assessment(config, checkpoint, splits=splits)
    if results is None:
        with costs.measure(f"evaluate_{name}", title=title):
            results = assess(config, checkpoint, splits=splits, console=console)
    for split, result in results.items():
        print_tables([brief_table(f"Right on {split}", result)], console=console)
    if is_last and config.evaluation.suites:
        report = saved_suites(config, checkpoint)
        if report is None:
            with costs.measure(f"suites_{name}", title=f"Suites: {label}"):
                report = assess_suites(config, checkpoint, console=console)
        print_tables(suite_tables(report), console=console)


def conclude(config: TrainConfig, console: Console) -> Path:
    """The tables on the console and in results.md, and the report."""
    results = write_results(config)
    console.print(Rule("Results", align="left"))
    print_tables(results.tables, console=console)
    # A path that is broken over two lines can't be copied.
    console.print(
        f"\nreport to open in a browser: {results.report}\ntables: {results.page}", highlight=False, soft_wrap=True
    )
    return results.report
