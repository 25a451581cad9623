"""The first half of rejection sampling: the cold-started judge judges the pool; out come the accepted, the hard and the contrasts shard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from urt_core import Dialect, PreferenceRecord, SamplingParams, Task
from urt_core.bench.table import Table
from urt_core.bench.tables import task_title
from urt_core.comparison import Order
from urt_core.engines import AsyncEngine, Engine
from urt_core.errors import ConfigError
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked, judge
from urt_core.judging.pairs import JudgedPair
from urt_core.judging.share import Share
from urt_data import ShardFolder
from urt_data.licences import check_licences
from urt_data.record_selection import SelectedRecords
from urt_train.config import Orders
from urt_train.datasets.pool_pairs import pool_pairs, traces_of
from urt_train.datasets.rejection import judged_record, write_shards
from urt_train.datasets.splits import refuse_to_replace
from urt_train.model.judging import opened_engine
from urt_train.stages.pool_judge import OneBatch, PoolJudge, judging_bar, num_left
from urt_train.stages.rejection_sampling.config import POOL, RejectionSamplingConfig
from urt_train.stages.spec import Preparation

JUDGING = (
    "tasks",
    "pool_per_task",
    "num_samples",
    "temperature",
    "top_p",
    "judge_batch_size",
    "orders",
    "max_completion_tokens",
    "only_consistent",
)
SPLITTING = ("accept_per_pair", "hard_below")


def judge_pool(preparation: Preparation, *, engine: Engine | None = None) -> None:
    """Judge what is not judged yet and write the shards; nothing to do where they were made with this model and these settings."""
    settings: RejectionSamplingConfig = preparation.settings
    seed, console = preparation.seed, preparation.console
    written = {split: preparation.shards(split) for split in ("accepted", "hard", "contrasts")}
    source = preparation.open_shards(settings.split or POOL)
    check_licences([source], allow_noncommercial=preparation.allow_noncommercial, allow_evaluation=False)
    traces = traces_of(source, preparation.shards("cold_start"))
    made_from = [source.manifest_sha256, preparation.dialect, seed]
    judging = {name: getattr(settings, name) for name in JUDGING}
    if settings.engine != "transformers":
        judging |= {"engine": settings.engine, "engine_options": settings.engine_options}
    identity = _identity(
        judging, preparation.initial_hash, *made_from, *([] if traces is None else [traces.manifest_sha256])
    )
    about = {"judged": identity, **{name: getattr(settings, name) for name in SPLITTING}}
    if all(_made_so(folder, about) for folder in written.values()):
        return
    for split, folder in written.items():
        refuse_to_replace(folder, split, mark="judged")
    accepted = written["accepted"]
    if not preparation.is_anew and (accepted / "manifest.json").exists() and not _made_so(accepted, about):
        raise ConfigError(
            f"{accepted} was made by another model or with other settings; keep these, choose another output_root, or judge anew"
            " with ckpt_path=null"
        )
    trainer = preparation.make_trainer()
    chosen = pool_pairs(source, tasks=settings.tasks, per_task=settings.pool_per_task, traces=traces)
    share = Share(rank=trainer.global_rank, num=trainer.world_size)
    about_judging = {"judged": identity}
    with (
        Journal(preparation.folder / "judged" / identity[:16], about=about_judging, rank=share.rank) as journal,
        judging_bar(
            console if preparation.has_progress_bar and trainer.is_global_zero else None,
            title="rejection sampling",
            total=num_left(len(chosen.pairs) * settings.num_samples, journal, share),
        ) as advance,
    ):
        how = asked(settings, dialect=preparation.dialect, seed=seed)
        if settings.engine == "transformers":
            policy = preparation.open_policy()
            module = PoolJudge(
                policy,
                asked=how,
                block=settings.judge_batch_size,
                engine=engine or policy.engine(batch_size=settings.judge_batch_size * settings.num_samples),
                journal=journal,
                share=share,
                after_judgement=advance,
            )
            trainer.predict(module, dataloaders=OneBatch(chosen.pairs), return_predictions=False)
        else:  # on which the strategy of the run has no bearing
            with opened_outside(preparation) as outside:
                for pair in judge(chosen.pairs, engine=outside, asked=how, journal=journal, share=share):
                    advance(pair)
    trainer.strategy.barrier()
    if trainer.is_global_zero:
        place_of = {record_key(chosen.pairs, place): place for place in range(len(chosen.pairs))}
        judged_pairs: dict[str, list[JudgedPair]] = {key: [] for key in place_of}
        for pair in journal.judged():
            judged_pairs[pair.key].append(pair)

        def as_shown(key: str) -> PreferenceRecord:
            record = chosen.pairs[place_of[key]]
            return record.swap() if judged_pairs[key][0].order is Order.SWAPPED else record

        counts = write_shards(
            [
                judged_record(
                    as_shown(key),
                    [pair.completion for pair in judged],
                    dialect=preparation.dialect,
                    only_consistent=settings.only_consistent,
                )
                for key, judged in judged_pairs.items()
            ],
            as_shown,
            **written,
            accept_per_pair=settings.accept_per_pair,
            hard_below=settings.hard_below,
            about={**about, "left_out": chosen.left_out},
        )
        console.print(judging_table(counts, chosen.left_out).console())
    trainer.strategy.barrier()


def opened_outside(preparation: Preparation) -> AbstractContextManager[Engine | AsyncEngine]:
    """vLLM or an endpoint, of which each process asks its share."""
    settings, policy = preparation.settings, preparation.judge.policy
    return opened_engine(settings, settings.engine, preparation.initial, policy=policy, dtype=preparation.served_dtype)


def record_key(pairs: SelectedRecords, place: int) -> str:
    shard, row = pairs.places[place]
    return pairs.source.index(shard).keys[row]


def asked(settings: RejectionSamplingConfig, *, dialect: Dialect, seed: int) -> Asked:
    sampling = SamplingParams(
        temperature=settings.temperature, top_p=settings.top_p, max_tokens=settings.max_completion_tokens
    )
    return Asked(
        dialect=dialect,
        orders="random" if settings.orders is Orders.random else "given",
        votes=settings.num_samples,
        sampling=sampling,
        seed=seed,
        purpose="pool",
    )


def judging_table(counts: Mapping[str, Mapping[str, int]], left_out: Mapping[str, Mapping[str, int]]) -> Table:
    """What became of the pairs that were judged, and behind it how many were not judged, and why."""
    columns = ["pairs", "judgements", "right", "unreadable", "accepted", "hard", "contrasts"]
    if any(of_task.get("bad_media") for of_task in counts.values()):
        columns.append("bad_media")
    reasons = sorted({reason for of_task in left_out.values() for reason in of_task})
    return Table(
        title="The pool, judged",
        columns=(
            "task",
            *(column.replace("_", " ") for column in columns),
            *(f"left out: {reason}" for reason in reasons),
        ),
        rows=tuple(
            (
                task_title(Task(task)),
                *(f"{counts.get(task, {}).get(name, 0):,}" for name in columns),
                *(f"{left_out.get(task, {}).get(reason, 0):,}" for reason in reasons),
            )
            for task in sorted({*counts, *left_out})
        ),
    )


def _identity(settings: Mapping[str, Any], *others: object) -> str:
    """What the judgements are a function of."""
    return hashlib.sha256(json.dumps([dict(settings), *map(str, others)], sort_keys=True).encode()).hexdigest()


def _made_so(folder: Path, about: Mapping[str, Any]) -> bool:
    if not (folder / "manifest.json").exists():
        return False
    metadata = ShardFolder(folder).metadata
    return all(metadata.get(name) == value for name, value in about.items())
