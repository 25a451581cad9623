"""A split of the `data:` section opened: its shards, wherever they lie, and what a stage learns from, mixed, filtered and allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from urt_core.errors import ConfigError
from urt_data import Mixture, MixtureItem, Quarantine, ShardCache, ShardFolder
from urt_data.stream.quarantine import SampleName, written_down
from urt_train.config.data import CacheConfig, DataPart, QuarantineConfig
from urt_train.runtime.run_folder import QUARANTINE_FILES


def open_shards(place: str, cache: CacheConfig) -> ShardFolder:
    """Shards of a folder, or of an address, whose shards are kept in the cache."""
    return ShardFolder(place, cache=ShardCache(folder=cache.folder, max_bytes=int(cache.gib * 2**30)))


def learning_data(
    parts: Sequence[DataPart],
    *,
    cache: CacheConfig,
    tasks: Sequence[str],
    decided: bool,
    mixed_in: Mapping[str, float],
    allow_noncommercial: bool,
    seed: int,
) -> Mixture:
    """What a stage learns from: its parts, records of `tasks` alone, and for each of them some of the places in `mixed_in`.

    `decided` leaves out pairs whose label is a tie or missing. What is meant for evaluation is refused by name, and so is what its
    licence keeps from commercial use, unless that is allowed.
    """
    items = [
        MixtureItem(
            folder=open_shards(part.path, cache),
            take=part.take,
            repeat=part.repeat,
            weight=part.weight,
            balance_tasks=part.balance_tasks,
            tasks=tuple(tasks),
            decided=decided,
        )
        for part in parts
    ]
    if mixed_in:
        if any(item.weight is not None for item in items):
            raise ConfigError(
                f"{', '.join(part.path for part in parts)} have weights, and shares of {', '.join(mixed_in)} are to be mixed in as well;"
                " allowed beside replay: parts without weights (repeat, take)"
            )
        number = len(Mixture(items, allow_noncommercial=True, allow_evaluation=True, seed=seed))
        others = [(open_shards(place, cache), share) for place, share in mixed_in.items()]
        items += [MixtureItem(folder=other, repeat=share * number / len(other)) for other, share in others]
    return Mixture(items, allow_noncommercial=allow_noncommercial, seed=seed)


def open_quarantine(settings: QuarantineConfig, *, folder: str, rank: int) -> Quarantine:
    """Where bad pairs of one process are counted and written down; those that any process of the run has met are
    known."""
    name = "quarantine.jsonl" if rank == 0 else f"quarantine.{rank}.jsonl"
    known = [written_down(file) for file in Path(folder).glob(QUARANTINE_FILES)]
    return Quarantine(
        file=f"{folder}/{name}",
        max_share=settings.share,
        max_consecutive=settings.in_a_row,
        grace=settings.grace,
        known=set[SampleName]().union(*known),
    )


def refuse_to_replace(folder: Path, split: str, *, mark: str) -> None:
    """ConfigError where a step would write over pairs of the user's; what has `mark` in its metadata, the step wrote
    itself."""
    if (folder / "manifest.json").exists() and mark not in ShardFolder(folder).metadata:
        raise ConfigError(
            f"data.{split} is {folder}, whose pairs this step did not write and would replace: leave data.{split} out, or leave the step"
            " out and let the stages take these pairs as they are"
        )
