"""The first half of internalising: the judge judges unlabelled pairs in both orders; out come the votes to learn at once, and the
judgements to keep reasoning by.

pairs --judge, both orders--> votes --> share of the first candidate --> a record for each order, with a reasoning of that order
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from urt_core import Dialect, Preference, PreferenceRecord, SamplingParams, Task
from urt_core.bench.table import Table
from urt_core.bench.tables import task_title
from urt_core.comparison import Order
from urt_core.engines import Engine
from urt_core.errors import ConfigError, DataError
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked
from urt_core.judging.pairs import JudgedPair
from urt_core.judging.share import Share
from urt_core.records import key_with
from urt_data import ShardFolder, ShardWriter
from urt_data.licences import check_licences
from urt_data.record_selection import select_tasks
from urt_train.datasets.splits import refuse_to_replace
from urt_train.stages.internalise.config import UNLABELLED, InternaliseConfig, Targets
from urt_train.stages.pool_judge import OneBatch, PoolJudge, judging_bar, num_left
from urt_train.stages.spec import Preparation

SHARE = "share_of_first"
"""Name, in a record's metadata, of the share of the votes for the candidate that is shown first."""
JUDGING = (
    "tasks", "pairs_per_task", "num_samples", "temperature", "top_p", "judge_batch_size", "max_completion_tokens", "targets",
)  # fmt: skip
SHARES = {Preference.FIRST: 1.0, Preference.TIE: 0.5, Preference.SECOND: 0.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Votes:
    """What the judge said of one pair.

    Votes(task=Task.IMAGE_GENERATION, share=0.75, reasons={Order.GIVEN: "<think>...", Order.SWAPPED: "<think>..."}, is_unanimous=False)
    """

    task: Task
    share: float | None
    """Of the votes for the first candidate of the record, each order counting the same; None where an order holds no readable vote."""
    reasons: Mapping[Order, str]
    """For each order the first judgement that names what most votes name."""
    is_unanimous: bool

    def taught_share(self, targets: Targets) -> float:
        """What the pair is taught as."""
        assert self.share is not None
        return float(self.share > 0.5) if targets is Targets.hard else self.share

    def fate(self, targets: Targets) -> str:
        """What becomes of the pair: unreadable, undecided (hard targets have no tie), or taught."""
        if self.share is None:
            return "unreadable"
        return "undecided" if targets is Targets.hard and self.share == 0.5 else "taught"


def votes_of(judged: Sequence[JudgedPair]) -> Votes:
    by_order: dict[Order, list[JudgedPair]] = {order: [] for order in Order}
    for pair in judged:
        if pair.verdict is not None:
            by_order[pair.order].append(pair)
    task = judged[0].task
    if not all(by_order.values()):
        return Votes(task=task, share=None, reasons={}, is_unanimous=False)
    shares = {order: [SHARES[named(pair)] for pair in cast] for order, cast in by_order.items()}
    share = sum(sum(of_order) / len(of_order) for of_order in shares.values()) / len(shares)
    winner = Preference.TIE if share == 0.5 else Preference.FIRST if share > 0.5 else Preference.SECOND
    alike = {order: [pair.text for pair in cast if named(pair) is winner] for order, cast in by_order.items()}
    return Votes(
        task=task,
        share=share,
        reasons={order: texts[0] for order, texts in alike.items() if texts},
        is_unanimous=share in (0.0, 1.0),
    )


def named(pair: JudgedPair) -> Preference:
    """The vote in terms of the record's own order."""
    assert pair.verdict is not None
    return pair.verdict.swap() if pair.order is Order.SWAPPED else pair.verdict


def judge_unlabelled(preparation: Preparation, *, engine: Engine | None = None) -> None:
    """Judge what is not judged yet and write the shards; nothing to do where they were made with this model and these settings."""
    settings: InternaliseConfig = preparation.settings
    if preparation.dialect is Dialect.DIRECT:
        raise ConfigError(
            "judge.dialect is direct: this judge answers at once already; allowed with stage=internalise: a dialect with reasoning, v1 or v2"
        )
    written = {split: preparation.shards(split) for split in ("internalised", "reasoned")}
    source = preparation.open_shards(settings.split or UNLABELLED)
    check_licences([source], allow_noncommercial=preparation.allow_noncommercial, allow_evaluation=False)
    judging = {name: getattr(settings, name) for name in JUDGING}
    made_from = [preparation.initial_hash, source.manifest_sha256, preparation.dialect, preparation.seed]
    identity = hashlib.sha256(json.dumps([judging, *map(str, made_from)], sort_keys=True).encode()).hexdigest()
    is_made = [_made_so(folder, identity) for folder in written.values()]
    if all(is_made):
        return
    for split, folder in written.items():
        refuse_to_replace(folder, split, mark="judged")
    if not preparation.is_anew and any((folder / "manifest.json").exists() for folder in written.values()):
        raise ConfigError(
            f"{written['internalised']} was made by another judge or with other settings; keep these, choose another output_root, or"
            " judge anew with ckpt_path=null"
        )
    trainer = preparation.make_trainer()
    policy = preparation.open_policy()
    pairs = select_tasks(source, tasks=settings.tasks, per_task=settings.pairs_per_task)
    share = Share(rank=trainer.global_rank, num=trainer.world_size)
    asked = Asked(
        dialect=preparation.dialect,
        orders="both",
        votes=settings.num_samples,
        sampling=SamplingParams(
            temperature=settings.temperature, top_p=settings.top_p, max_tokens=settings.max_completion_tokens
        ),
        seed=preparation.seed,
        purpose="internalise",
    )
    shows_bar = preparation.has_progress_bar and trainer.is_global_zero
    with (
        Journal(preparation.folder / "judged" / identity[:16], about={"judged": identity}, rank=share.rank) as journal,
        judging_bar(
            preparation.console if shows_bar else None,
            title="internalising",
            total=num_left(len(pairs) * asked.num_per_pair, journal, share),
        ) as advance,
    ):
        module = PoolJudge(
            policy,
            asked=asked,
            block=settings.judge_batch_size,
            engine=engine or policy.engine(batch_size=settings.judge_batch_size * asked.num_per_pair),
            journal=journal,
            share=share,
            after_judgement=advance,
        )
        trainer.predict(module, dataloaders=OneBatch(pairs), return_predictions=False)
    trainer.strategy.barrier()
    if trainer.is_global_zero:
        by_key: dict[str, list[JudgedPair]] = defaultdict(list)
        for pair in journal.judged():
            by_key[pair.key].append(pair)
        votes = {key: votes_of(judged) for key, judged in by_key.items()}
        about, needs_reasoning = {"judged": identity}, settings.replay > 0
        counts = write_votes(
            pairs, votes, targets=settings.targets, about=about, needs_reasoning=needs_reasoning, **written
        )
        preparation.console.print(votes_table(counts).console())
    trainer.strategy.barrier()


def write_votes(
    records: Iterable[PreferenceRecord],
    votes: Mapping[str, Votes],
    *,
    internalised: Path,
    reasoned: Path,
    targets: Targets,
    about: Mapping[str, Any],
    needs_reasoning: bool = True,
) -> dict[str, dict[str, int]]:
    """A record for each order of each pair that is taught, without its label; returns the counts, which stand in the manifests."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for found in votes.values():
        counts[str(found.task)].update({"pairs": 1, found.fate(targets): 1, "unanimous": int(found.is_unanimous)})
    total = sum(counts.values(), Counter())
    if total["undecided"] and not total["taught"]:
        raise DataError(
            f"of {len(votes):,} unlabelled pairs the votes name a winner in none ({dict(total)}), and internalise.targets is {targets};"
            " there is nothing to internalise: start from a better judge, or take internalise.targets=soft"
        )
    if not total["taught"]:
        raise DataError(
            f"of {len(votes):,} unlabelled pairs none could be judged in both orders ({dict(total)}); there is"
            " nothing to internalise: start from a judge of these pairs, or raise internalise.max_completion_tokens"
        )
    if needs_reasoning and not total["unanimous"]:
        raise DataError(
            f"of {len(votes):,} unlabelled pairs the judge named the same candidate in all votes of none; there is no reasoning to keep:"
            " start from a better judge, lower internalise.temperature, or take internalise.replay=0"
        )
    metadata = {**about, "counts": {task: dict(of_task) for task, of_task in sorted(counts.items())}}
    with (
        ShardWriter(internalised, metadata=metadata, overwrite=True) as taught,
        ShardWriter(reasoned, metadata=metadata, overwrite=True) as kept,
    ):
        for record in records:
            found = votes[record.key]
            if found.share is None or found.fate(targets) != "taught":
                continue
            share = found.taught_share(targets)
            for shown, order, own in ((record, Order.GIVEN, share), (record.swap(), Order.SWAPPED, 1 - share)):
                unlabelled = replace(
                    shown,
                    key=key_with(record.key, str(order)[0]),
                    preference=None,
                    completion=found.reasons.get(order),
                )
                taught.write(replace(unlabelled, metadata={**shown.metadata, SHARE: own}))
                if found.is_unanimous:
                    kept.write(unlabelled)
    return {task: dict(of_task) for task, of_task in sorted(counts.items())}


def votes_table(counts: Mapping[str, Mapping[str, int]]) -> Table:
    columns = ("pairs", "taught", "unanimous", "undecided", "unreadable")
    return Table(
        title="Unlabelled pairs, judged in both orders",
        columns=("task", *columns),
        rows=tuple(
            (task_title(Task(task)), *(f"{of_task.get(name, 0):,}" for name in columns))
            for task, of_task in counts.items()
        ),
    )


def _made_so(folder: Path, identity: str) -> bool:
    return (folder / "manifest.json").exists() and ShardFolder(folder).metadata.get("judged") == identity
