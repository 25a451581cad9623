"""The labelled pairs that a recipe makes itself: every split of the embedded world that its config counts."""

from __future__ import annotations

from urt_data import ShardWriter
from urt_data.sprites import build_split
from urt_train.config import TrainConfig


def make_pairs(config: TrainConfig) -> None:
    for split, counts in config.data.counts.items():
        folder = config.data_dir(split)
        metadata = {"source": "sprites", "split": split, "seed": config.seed}
        with ShardWriter(folder, metadata=metadata, overwrite=True) as shards:
            for record in build_split(split, counts, seed=config.seed):
                shards.write(record)
        print(f"{sum(counts.values()):,} {split} pairs in {folder}")
