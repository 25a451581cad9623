"""A model folder and a config in, its evaluation on each held-out split out, saved beside the run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console

from urt_core import AsyncEngine, Dialect, Engine, JudgeSpec, SamplingParams
from urt_core.atomic import write_whole
from urt_core.bench.evaluation import EvaluationResult, evaluate, settings_of
from urt_core.bench.suites import SuiteReport, run_suites
from urt_core.bench.suites.running import NUM_ROUNDS
from urt_core.bench.tables import evaluation_tables, markdown_page
from urt_core.engines import close_engine
from urt_core.errors import CheckpointError, DataError
from urt_core.judges.spec import FILE_NAME as JUDGE_FILE
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked
from urt_core.judging.share import Share
from urt_core.judging.workers import Workers
from urt_core.progress_bar import ProgressBar
from urt_data import ShardFolder
from urt_data.record_selection import select_tasks
from urt_train.config import Orders, TrainConfig
from urt_train.config.data import is_address
from urt_train.datasets.splits import open_shards
from urt_train.experiment.steps import BASE, initial_model, model_folder, steps
from urt_train.model.judging import open_engine as open_outside
from urt_train.model.policy import Policy
from urt_train.runtime.run_folder import folder_hash
from urt_train.stages import known_stages

SUITES, JUDGED = "suites.json", "judged"
Results = dict[str, EvaluationResult]
"""Split -> what was found on it."""


def assess(
    config: TrainConfig, checkpoint: str, *, splits: Sequence[str] | None = None, console: Console | None = None
) -> Results:
    """Judge every split (of `evaluation.splits`, where none is named) and save what was found to
    <output>/evaluation/<name of the checkpoint>/<split>/."""
    spec, splits = spec_of(config, checkpoint), splits or config.evaluation.splits
    plan, results = Plan(config, checkpoint, spec), {}
    with (
        workers_of(config, checkpoint, does="assess", splits=splits) as workers,
        opened_engine(config, checkpoint, spec) as engine,
    ):
        share = Share.from_environment()
        for split in splits:
            source, folder = held_out(config, split), evaluation_folder(config, checkpoint, split)
            records = select_tasks(source, tasks=config.evaluation.tasks, per_task=config.evaluation.pairs_per_task)
            about = {**plan.data(source, split), **plan.settings}
            with Journal(folder / JUDGED / named_after(about), about=about, rank=share.rank) as journal:
                results[split] = evaluate(
                    engine,
                    records.grouped_by_task(),
                    dialects=plan.dialects,
                    orders=plan.orders,
                    sampling=plan.sampling,
                    batch_size=config.evaluation.batch_size,
                    data=plan.data(source, split),
                    journal=journal,
                    share=share,
                    check=workers.check,
                    console=console if share.rank == 0 else None,
                )
            if share.rank == 0:
                save(results[split], folder, title=f"Evaluation of {checkpoint}", source=source, split=split)
    if "RANK" not in os.environ:  # of processes that torchrun started another may still read
        for split in splits:
            shutil.rmtree(evaluation_folder(config, checkpoint, split) / JUDGED)
    return results


def save(result: EvaluationResult, folder: Path, *, title: str, source: ShardFolder, split: str) -> None:
    introduction = f"Pairs of the split {split} ({source.folder})."
    write_whole(folder / "tables.md", markdown_page(title, evaluation_tables(result), introduction=introduction))
    result.save(folder)


def workers_of(config: TrainConfig, checkpoint: str, *, does: str, splits: Sequence[str]) -> Workers:
    """`evaluation.workers` processes: this one, and others that judge their shares of the same."""
    own = {"recipe": config.recipe, "checkpoint": checkpoint, "evaluation.splits": f"[{','.join(splits)}]"}
    said = [given for given in config.given if given.partition("=")[0] not in own]
    arguments = [does, *said, *(f"{name}={value}" for name, value in own.items())]
    return Workers(config.evaluation.workers, command=[sys.executable, "-m", "urt_train.experiment.worker", *arguments])


@contextmanager
def opened_engine(config: TrainConfig, checkpoint: str, spec: JudgeSpec) -> Iterator[Engine | AsyncEngine]:
    engine = open_engine(config, checkpoint, spec)
    try:
        yield engine
    finally:
        close_engine(engine)


def assess_suites(config: TrainConfig, checkpoint: str, *, console: Console | None = None) -> SuiteReport:
    """What moves the judge that should not, on pairs of the first split; saved as <output>/evaluation/<name>/suites.json. Found again
    where it was made with these weights and settings."""
    spec, split = spec_of(config, checkpoint), config.evaluation.splits[0]
    plan, source = Plan(config, checkpoint, spec), held_out(config, split)
    about, place = _suites_of(config, checkpoint)
    records = select_tasks(source, tasks=config.evaluation.tasks, per_task=None).grouped_by_task()
    asked = Asked(dialect=spec.dialect, sampling=plan.sampling)
    number = min(config.evaluation.suites, len(records))
    with (
        workers_of(config, checkpoint, does="suites", splits=[split]) as workers,
        opened_engine(config, checkpoint, spec) as engine,
        Journal(place, about=about, rank=Share.from_environment().rank) as journal,
        ProgressBar(console) as progress,
    ):
        share = Share.from_environment()
        bar = progress.add_task("suites", total=NUM_ROUNDS * number // share.num, note="")
        report = run_suites(
            engine,
            records,
            asked=asked,
            num_pairs=number,
            seed=config.seed,
            journal=journal,
            share=share,
            seen=lambda pair: progress.update(bar, advance=1, note=pair.group),
            check=workers.check,
        )
    if share.rank == 0:
        report.save(place.with_suffix(".json"))
        report.save(place.parents[1] / SUITES)
    return report


def saved_suites(config: TrainConfig, checkpoint: str) -> SuiteReport | None:
    """What `assess_suites` found earlier for these very weights, pairs and settings."""
    _, place = _suites_of(config, checkpoint)
    path = place.with_suffix(".json")
    return SuiteReport.load(path) if path.exists() else None


def _suites_of(config: TrainConfig, checkpoint: str) -> tuple[dict[str, object], Path]:
    """What the suites' result depends on, and the folder of their judgements, which is named after it."""
    split = config.evaluation.splits[0]
    plan = Plan(config, checkpoint, spec_of(config, checkpoint))
    about = {**plan.data(held_out(config, split), split), "suites": config.evaluation.suites, **plan.settings}
    return about, evaluation_folder(config, checkpoint, split).parent / "suites" / named_after(about)


def named_after(about: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:16]


def saved_assessment(config: TrainConfig, checkpoint: str, *, splits: Sequence[str] | None = None) -> Results | None:
    """What `assess` found earlier for these very weights, pairs and settings; None where anything differs or is missing."""
    plan = Plan(config, checkpoint, spec_of(config, checkpoint))
    results = {}
    for split in splits or config.evaluation.splits:
        folder = evaluation_folder(config, checkpoint, split)
        if not (folder / "result.json").exists():
            return None
        found = EvaluationResult.load(folder)
        if found.data != plan.data(held_out(config, split), split) or found.settings != plan.settings:
            return None
        results[split] = found
    return results


class Plan:
    """What is asked of one checkpoint, and what its result depends on."""

    def __init__(self, config: TrainConfig, checkpoint: str, spec: JudgeSpec) -> None:
        wanted = config.evaluation
        self.dialects = dialects_to_ask(config, checkpoint, spec)
        self.orders: Literal["both", "given"] = "both" if wanted.orders is Orders.both else "given"
        self.sampling = SamplingParams(
            temperature=wanted.temperature, max_tokens=wanted.max_completion_tokens, seed=config.seed
        )
        self._weights = folder_hash(checkpoint)
        self._dtype, self._engine = config.served_dtype, wanted.engine
        self._chosen = f"{wanted.pairs_per_task or 'all'} per task of {', '.join(wanted.tasks)}"

    @property
    def settings(self) -> dict[str, object]:
        return settings_of(self.dialects, self.orders, self.sampling)

    def data(self, source: ShardFolder, split: str) -> dict[str, object]:
        return {
            "split": split,
            "folder": source.folder,
            "manifest": source.manifest_sha256,
            "pairs": self._chosen,
            "weights": self._weights,
            "dtype": self._dtype,
            **({} if self._engine == "transformers" else {"engine": self._engine}),
        }


def evaluation_folder(config: TrainConfig, checkpoint: str, split: str) -> Path:
    return config.output_dir / "evaluation" / name_of(config, checkpoint) / split


def newest_judge(config: TrainConfig) -> str:
    """The model folder of the last stage of this recipe that was finished."""
    for stage in reversed(config.stages):
        if (model_folder(config, stage) / JUDGE_FILE).exists():
            return str(model_folder(config, stage))
    train = next(step for step in steps(config) if step.program == "train")
    raise CheckpointError(
        f"{config.output_dir} holds no finished stage; give checkpoint=<model folder>, or train one: {train.command(config)}"
    )


def name_of(config: TrainConfig, checkpoint: str) -> str:
    """Where its evaluation goes: the stage, for the recipe's own models; else the words of its path."""
    return _own_names(config).get(checkpoint.rstrip("/"), "-".join(Path(checkpoint).parts).strip("/-."))


def is_of_recipe(config: TrainConfig, checkpoint: str) -> bool:
    return checkpoint.rstrip("/") in _own_names(config)


def _own_names(config: TrainConfig) -> dict[str, str]:
    stages = {str(model_folder(config, spec.name)): spec.name for spec in known_stages()}
    return {**stages, initial_model(config, config.stages[0]): BASE}


def spec_of(config: TrainConfig, checkpoint: str) -> JudgeSpec:
    """The checkpoint's judge.json; a model that was never taught to judge has none, and is asked as the config says."""
    if (Path(checkpoint) / JUDGE_FILE).exists():
        spec = JudgeSpec.load(checkpoint)
        if str(spec.dialect) != config.judge.dialect:
            raise CheckpointError(
                f"{checkpoint} is a judge of dialect {spec.dialect}, judge.dialect is {config.judge.dialect}; set judge.dialect={spec.dialect}"
            )
        return spec
    return config.judge.spec(stage=BASE, base=checkpoint)


def dialects_to_ask(config: TrainConfig, checkpoint: str, spec: JudgeSpec) -> list[Dialect]:
    asked = [spec.dialect if name == "judge" else Dialect(name) for name in config.evaluation.dialects]
    for dialect in asked:
        if dialect not in (spec.dialect, Dialect.DIRECT) and spec.stage != BASE:
            raise CheckpointError(
                f"{checkpoint} is a judge of dialect {spec.dialect}, evaluation.dialects asks it in {dialect}; "
                f"allowed: judge, {spec.dialect}, direct"
            )
    return list(dict.fromkeys(asked))


def held_out(config: TrainConfig, split: str) -> ShardFolder:
    folder = config.data_place(split)
    if not is_address(folder) and not (Path(folder) / "manifest.json").exists():
        made = "" if config.data.source == "shards" else f"make them with `{steps(config)[0].command(config)}`, or "
        raise DataError(
            f"{folder} holds no finished shards to evaluate on; {made}give {config.data.setting(split)}=<folder of shards>"
        )
    source = open_shards(folder, config.data.cache)
    if not len(source):
        raise DataError(f"{folder} holds no record; give {config.data.setting(split)}=<folder of shards with records>")
    return source


def open_engine(config: TrainConfig, checkpoint: str, spec: JudgeSpec) -> Engine | AsyncEngine:
    """The model as an engine, in the type that it is served in: in this process on its GPU where there is one, or where
    `evaluation.engine` says."""
    wanted = config.evaluation
    if wanted.engine != "transformers":
        return open_outside(wanted, wanted.engine, checkpoint, policy=spec.policy, dtype=config.served_dtype)
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    if config.trainer.num_threads is not None:
        torch.set_num_threads(config.trainer.num_threads)
    policy = Policy.from_pretrained(
        checkpoint,
        spec=spec,
        dtype=config.served_dtype,
        attention=config.model.attention,
        revision=config.model.revision if checkpoint == config.model.base else None,
    )
    on_gpu = torch.cuda.is_available() and config.trainer.accelerator != "cpu"
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    engine = policy.to("cuda" if on_gpu else "cpu").eval().engine(batch_size=config.evaluation.batch_size)
    engine.model = checkpoint
    return engine
