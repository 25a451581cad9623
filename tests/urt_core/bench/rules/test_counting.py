"""Numbers over all pairs: denominators, groups, items, intervals."""

import pytest

from tests.urt_core.bench.lines import judgement
from urt_core.bench import rescore
from urt_core.metrics import wilson_interval


def test_mmrb2_of_a_judge_that_always_says_a() -> None:
    lines = [
        {"item": str(n), "chosen": "A" if n % 3 else "B", "forward": ["A"], "reverse": ["A"], "human_annotations": []}
        for n in range(30)
    ]
    result = rescore(lines, benchmark="mmrb2")
    assert (result.values["accuracy"], result.values["first_picked"]) == (50.0, 100.0)
    assert rescore(lines, benchmark="mmrb2", rule="given_only").values["accuracy"] == pytest.approx(100 * 20 / 30)


def test_mmrb2_judgements_that_failed_leave_the_official_denominator_and_are_told() -> None:
    lines = [
        {"item": "a", "chosen": "A", "forward": ["A"], "reverse": []},
        {"item": "b", "chosen": "B", "forward": [None], "reverse": ["B"]},
    ]
    official = rescore(lines, benchmark="mmrb2")
    assert (official.n_total, official.n_scored, official.n_failed) == (4, 2, 2)
    assert (official.values["accuracy"], official.n_of["accuracy"]) == (50.0, 2)
    wrong = rescore(lines, benchmark="mmrb2", rule="unreadable_wrong")
    assert (wrong.values["accuracy"], wrong.n_of["accuracy"], wrong.values["unreadable"]) == (25.0, 4, 50.0)


def test_overall_is_over_items_and_macro_over_groups() -> None:
    lines = [
        judgement(f"k{n}", "given", "first", "first" if n < 6 else "second", item=f"vlfeedback-{n}") for n in range(9)
    ]
    lines += [judgement("m", "given", "first", "first", item="mmmu-1")]
    values = rescore(lines, benchmark="vl_rewardbench").values
    assert values["overall"] == pytest.approx(70.0)
    assert values["macro"] == pytest.approx(100 * (6 / 9 + 1) / 2)


def test_accuracy_plus_needs_all_pairs_of_an_item() -> None:
    verdicts = {"a": ["first", "first"], "b": ["first", "second"], "c": ["second"]}
    lines = [
        judgement(f"{item}{n}", "given", "first", verdict, item=item, group="mcq")
        for item, row in verdicts.items()
        for n, verdict in enumerate(row)
    ]
    values = rescore(lines, benchmark="mm_rlhf_rewardbench").values
    assert (values["accuracy"], values["accuracy_plus"]) == (pytest.approx(60.0), pytest.approx(100 / 3))


def test_an_interval_of_independent_items_is_wilsons_and_a_clustered_one_is_wider() -> None:
    lines = [judgement(f"k{n}", "given", "first", "first" if n % 4 else "second") for n in range(200)]
    result = rescore(lines, benchmark="pairs")
    assert result.interval("accuracy") == pytest.approx(tuple(100 * bound for bound in wilson_interval(150, 200)))
    clustered = [
        line | {"item": f"i{n // 20}"} for n, line in enumerate(sorted(lines, key=lambda line: line["verdict"]))
    ]
    low, high = rescore(clustered, benchmark="pairs").interval("accuracy")
    assert high - low > 2 * (result.interval("accuracy")[1] - result.interval("accuracy")[0])
