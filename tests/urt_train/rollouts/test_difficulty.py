"""Pass rates of rejection sampling steer which pairs a rollout takes."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from urt_train.rollouts.difficulty import chance_of_variance, choose


@pytest.mark.parametrize(("right", "total", "group_size"), [(0, 1, 8), (1, 4, 8), (2, 2, 4), (7, 16, 16)])
def test_chance_of_variance_against_an_integral(right, total, group_size):
    p = (np.arange(200_000) + 0.5) / 200_000
    density = p**right * (1 - p) ** (total - right)
    useful = 1 - p**group_size - (1 - p) ** group_size
    assert chance_of_variance(right, total, group_size) == pytest.approx(
        (density * useful).sum() / density.sum(), rel=1e-6
    )


def test_pairs_of_middle_difficulty_are_taken_more_often(records):
    pool = [
        replace(record, metadata={"judgements": {"right": (0, 8, 16)[number % 3], "total": 16}})
        for number, record in enumerate(records)
    ]
    taken = Counter(
        record.metadata["judgements"]["right"]
        for seed in range(200)
        for record in choose(pool, 4, group_size=8, seed=seed)
    )
    assert taken[8] > 1.5 * taken[0]
    assert min(taken.values()) > 50, "none is shut out"


def test_the_choice_is_a_function_of_the_seed(records):
    first = choose(records, 5, group_size=8, seed=1)
    assert first == choose(records, 5, group_size=8, seed=1)
    assert len(first) == 5
    assert first != choose(records, 5, group_size=8, seed=2)
    assert [record.key for record in first] == sorted(record.key for record in first), "their order stays"
