"""Lists of scored candidates: shared right answers, and the ties of RewardBench 2 by hand."""

import math

import pytest

from urt_core.bench import rescore
from urt_core.bench.rules.lists import ScoredList, ties_score


def test_best_of_four_shares_a_right_answer_between_equal_scores() -> None:
    rows = [[9, 1, 2, 3], [5, 5, 1, 2], [1, 2, 2, 2], [None, 1, 1, 1]]
    lines = [{"id": str(n), "subset": "Math", "scores": row, "num_correct": 1} for n, row in enumerate(rows)]
    result = rescore(lines, benchmark="rewardbench_2")
    assert result.values["Math"] == pytest.approx(100 * 1.5 / 4)
    assert (result.n_total, result.n_failed) == (4, 1)


def test_ties_score_equals_its_formula_worked_by_hand() -> None:
    ref = ScoredList(item="ref:1", group="Ties", scores=(8.0, 5.0), num_right=1)  # m_ref 3
    tied = ScoredList(item="tied:1", group="Ties", scores=(9.0, 8.0, 4.0), num_right=2)  # m 4, d 1
    assert ties_score([[ref, tied]]) == pytest.approx(0.3 + 0.3 + 0.2 + 0.2 + 0.01 * math.tanh(3 / 1 - 1))
    close = ScoredList(item="tied:1", group="Ties", scores=(9.0, 5.0, 4.0), num_right=2)  # m 1, d 4
    assert ties_score([[ref, close]]) == pytest.approx(0.6 + 0.01 * math.tanh(1 / 4 - 1))
