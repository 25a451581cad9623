"""Which pairs of a split are judged in rejection sampling: those that have a winner and that no trace has shown the
judge."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from urt_core import Preference
from urt_core.errors import DataError
from urt_data import ShardFolder
from urt_data.record_selection import SelectedRecords, select_tasks

NO_WINNER = {None: "no label", Preference.TIE: "label is a tie"}
"""Why a label can't be met: a verdict of a chain-of-thought dialect names a winner."""
TRACED = "has a trace"
MADE_FROM = "made_from"
"""Name, in the metadata of traces, of the hashes of the manifests of their pairs (in older ones, of the one manifest)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolPairs:
    """PoolPairs(pairs=<SelectedRecords>, left_out={"image_generation": {"has a trace": 400, "label is a tie": 12, "no
    label": 3}})"""

    pairs: SelectedRecords
    left_out: Mapping[str, Mapping[str, int]]
    """Per task, what was passed over on the way to the last pair that was taken."""


def traces_of(source: ShardFolder, cold_start: Path) -> ShardFolder | None:
    """The traces, where a teacher wrote them about pairs of this very data."""
    if not (cold_start / "manifest.json").exists():
        return None
    traces = ShardFolder(cold_start)
    made_from = traces.metadata.get(MADE_FROM, [])
    known = [made_from] if isinstance(made_from, str) else made_from
    return traces if source.manifest_sha256 in known else None


def pool_pairs(
    source: ShardFolder, *, tasks: Iterable[str], per_task: int | None, traces: ShardFolder | None = None
) -> PoolPairs:
    """The first `per_task` pairs of each of `tasks` that can be judged and of which the judge has seen no right
    judgement.

    A trace has the key of its pair. Labels are read only in shards whose manifest counts ties or unlabelled pairs.
    """
    traced = {key for shard in range(len(traces.shards)) for key in traces.index(shard).keys} if traces else set()
    left_out: dict[str, Counter[str]] = defaultdict(Counter)
    undecided = [any(entry.preferences.get(label) for label in ("tie", "unlabelled")) for entry in source.shards]

    def is_judged(shard: int, row: int) -> bool:
        index = source.index(shard)
        reason = TRACED if index.keys[row] in traced else None
        if reason is None and undecided[shard]:
            reason = NO_WINNER.get(source.read(shard, row).preference)
        if reason is not None:
            left_out[index.task_names[index.tasks[row]]][reason] += 1
        return reason is None

    pairs = select_tasks(source, tasks=tasks, per_task=per_task, where=is_judged)
    if not pairs:
        total = sum(map(Counter, left_out.values()), Counter[str]())
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in total.most_common())
        raise DataError(
            f"{source.folder} holds no pair to judge ({reasons}); name other pairs with data.pool=<folder of shards>,"
            " or have fewer of these judged by the teacher (distill.pairs_per_task)"
        )
    return PoolPairs(pairs=pairs, left_out={task: dict(sorted(left_out[task].items())) for task in sorted(left_out)})
