"""The first half of rejection sampling: the cold-started judge judges the pool; out come the accepted, the hard and the contrasts shard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from urt_core import PreferenceRecord, Task
from urt_core.bench.table import Table
from urt_core.bench.tables import task_title
from urt_core.engines import Engine
from urt_core.errors import ConfigError
from urt_core.progress import progress_bar
from urt_data import ShardFolder
from urt_data.record_selection import SelectedRecords
from urt_train.config import Orders
from urt_train.datasets.pool_pairs import pool_pairs, traces_of
from urt_train.datasets.rejection import JudgedRecord, write_shards
from urt_train.runtime.ranks import derived_seed
from urt_train.stages.rejection_sampling.config import POOL, RejectionSamplingConfig
from urt_train.stages.rejection_sampling.judge import PoolJudge, drop_half_line, read_journal
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
    accepted = written["accepted"]
    source = ShardFolder(preparation.shards(settings.split or POOL))
    traces = traces_of(source, preparation.shards("cold_start"))
    made_from = [source.manifest_sha256, preparation.dialect, seed]
    judging = {name: getattr(settings, name) for name in JUDGING}
    identity = _identity(
        judging, preparation.initial_hash, *made_from, *([] if traces is None else [traces.manifest_sha256])
    )
    about = {"judged": identity, **{name: getattr(settings, name) for name in SPLITTING}}
    if all(_made_so(folder, about) for folder in written.values()):
        return
    if not preparation.is_anew and (accepted / "manifest.json").exists() and not _made_so(accepted, about):
        raise ConfigError(
            f"{accepted} was made by another model or with other settings; keep these, choose another output_root, or judge anew"
            " with ckpt_path=null"
        )
    trainer = preparation.make_trainer()
    policy = preparation.open_policy()
    chosen = pool_pairs(source, tasks=settings.tasks, per_task=settings.pool_per_task, traces=traces)
    pool = PoolBatches(
        chosen.pairs,
        size=settings.judge_batch_size,
        swap_seed=seed if settings.orders is Orders.random else None,
    )
    journals = preparation.folder / "judged" / identity[:16]
    journals.mkdir(parents=True, exist_ok=True)
    own = journals / f"rank_{trainer.global_rank}.jsonl"
    drop_half_line(own)
    share = pool.unjudged(_known(journals).keys(), rank=trainer.global_rank, num_ranks=trainer.world_size)
    with judging_bar(console if preparation.has_progress_bar and trainer.is_global_zero else None, share) as advance:
        module = PoolJudge(
            policy,
            settings,
            engine=engine or policy.engine(batch_size=settings.judge_batch_size * settings.num_samples),
            journal=own,
            after_batch=advance,
            seed=seed,
        )
        trainer.predict(module, dataloaders=share, return_predictions=False)
    trainer.strategy.barrier()
    if trainer.is_global_zero:
        known = _known(journals)
        counts = write_shards(
            [known[key] for key in pool.keys],
            pool.record,
            **written,
            accept_per_pair=settings.accept_per_pair,
            hard_below=settings.hard_below,
            about={**about, "left_out": chosen.left_out},
        )
        console.print(judging_table(counts, chosen.left_out).console())
    trainer.strategy.barrier()


class PoolBatches:
    """The pool in batches whose borders do not depend on what is judged already: PoolBatches(pool, size=64, swap_seed=None)"""

    def __init__(self, pool: SelectedRecords, *, size: int, swap_seed: int | None) -> None:
        self.pool, self.size, self.swap_seed = pool, size, swap_seed
        self.keys = [pool.source.index(shard).keys[row] for shard, row in pool.places]
        self.place_of = {key: place for place, key in enumerate(self.keys)}

    def record(self, key: str) -> PreferenceRecord:
        """The pair as it was shown."""
        record = self.pool[self.place_of[key]]
        swaps = self.swap_seed is not None and derived_seed(self.swap_seed, "order", key) % 2
        return record.swap() if swaps else record

    def unjudged(self, judged: Collection[str], *, rank: int, num_ranks: int) -> Share:
        """The batches of one rank that hold a pair not yet judged."""
        borders = range(0, len(self.keys), self.size)
        batches = [self.keys[start : start + self.size] for start in borders]
        left = [batch for batch in batches[rank::num_ranks] if not set(batch) <= set(judged)]
        return Share(left, self.record)


class Share:
    """What one rank judges, as a data loader with one item: its batches of records, read when they are asked for."""

    def __init__(self, batches: Sequence[Sequence[str]], record: Callable[[str], PreferenceRecord]) -> None:
        self.batches, self.record = batches, record

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Iterator[list[PreferenceRecord]]]:
        yield ([self.record(key) for key in batch] for batch in self.batches)


@contextmanager
def judging_bar(console: Console | None, share: Share) -> Iterator[Callable[[str], None]]:
    """A bar over the batches of a share; what it gives is to be called with a note after each of them."""
    if console is None:
        yield lambda note: None
        return
    with progress_bar(console) as bar:
        task = bar.add_task("rejection sampling: judging", total=len(share.batches), note="")
        yield lambda note: bar.update(task, advance=1, note=note)


def _known(journals: Path) -> dict[str, JudgedRecord]:
    """What any rank has judged, in this run or an earlier one."""
    return {key: pair for path in sorted(journals.glob("*.jsonl")) for key, pair in read_journal(path).items()}


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
