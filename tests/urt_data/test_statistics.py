"""Counts of a whole folder, and quantiles of the records that were read."""

import numpy as np

from tests.urt_data.conftest import answer_record, image_record, png, write
from urt_data.statistics import MEASURES, statistics


def test_counts_are_of_the_whole_folder_and_quantiles_of_what_was_read(tmp_path):
    folder = write(
        tmp_path / "pairs",
        [*(image_record(n) for n in range(8)), *(answer_record(n) for n in range(4))],
        samples_per_shard=5,
    )
    found = statistics(folder, num_read=5)
    assert (found.num_samples, found.num_shards, found.num_read) == (12, 3, 5)
    assert found.tasks == {"image_generation": 8, "video_understanding": 4}
    assert found.preferences == {"first": 2, "second": 6, "tie": 2, "unlabelled": 2}
    assert found.num_bytes == sum(shard.num_bytes for shard in folder.shards)
    assert statistics(folder, num_read=5) == found
    assert statistics(folder, num_read=5, seed=1).quantiles != found.quantiles


def test_quantiles_are_those_of_the_measures(tmp_path):
    records = [answer_record(n) for n in range(9)]
    found = {one.name: one for one in statistics(write(tmp_path / "clips", records)).quantiles}
    assert set(found) == set(MEASURES)
    assert found["words of text"].median == 5  # "What happens in clip 3?"
    assert found["words of completion"].low == found["words of completion"].high == 4
    assert found["media files"].median == 3
    kilobytes = [sum(len(png("clip", n, frame)) for frame in range(3)) / 1000 for n in range(9)]
    expected = np.quantile(kilobytes, [0.05, 0.5, 0.95]).tolist()
    shown = found["media kilobytes"]
    assert [shown.low, shown.median, shown.high] == expected


def test_an_empty_folder_has_no_quantiles(tmp_path):
    found = statistics(write(tmp_path / "none", []))
    assert (found.num_samples, found.num_read, found.quantiles) == (0, 0, [])
