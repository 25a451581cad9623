"""What one pair counts, against brute force and judges whose number is known by construction."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.urt_core.bench.lines import judgement
from urt_core.bench import BENCHMARKS, rescore
from urt_core.errors import DataError

scores = st.one_of(st.none(), st.integers(-4, 4).map(lambda n: n / 4))
OTHER = {"first": "second", "second": "first"}


def both_orders(key: str, label: str, given_verdict: str | None, swapped_verdict: str | None, **more) -> list[dict]:
    """`label` as given; the verdicts as shown."""
    return [
        judgement(key, "given", label, given_verdict, **more),
        judgement(key, "swapped", OTHER.get(label, label), swapped_verdict, **more),
    ]


PAIR_BENCHMARKS = [name for name, benchmark in BENCHMARKS.items() if benchmark.kind == "pairs"]


@pytest.mark.parametrize("benchmark", PAIR_BENCHMARKS)
def test_a_judge_that_always_names_the_first_has_exactly_half_in_both_orders(benchmark: str) -> None:
    draw = random.Random(0)
    labels = [draw.choice(("first", "first", "second", "tie")) for _ in range(173)]
    more = {"tie_kind": "both bad", "group": "x", "margin": 1.0}
    lines = [line for n, label in enumerate(labels) for line in both_orders(f"p{n}", label, "first", "first", **more)]
    for rule in BENCHMARKS[benchmark].rules:
        result = rescore(lines, benchmark=benchmark, rule=rule.name)
        assert result.values["mean_of_orders"] == 50.0
        assert result.values["first_picked"] == 100.0
        assert result.values["position_consistency"] == 0.0


@given(st.lists(st.tuples(*[st.sampled_from(["A>B", "B>A", "A=B", None])] * 2, st.booleans()), min_size=1, max_size=30))
def test_judgebench_equals_a_brute_force(rows: list[tuple]) -> None:
    lines, right = [], 0
    for n, (one, two, is_first) in enumerate(rows):
        label = "A>B" if is_first else "B>A"
        lines.append({"item": str(n), "source": "mmlu-pro-law", "label": label, "decisions": [one, two]})
        turned = {"A>B": "B>A", "B>A": "A>B"}.get(two, two)
        points = {label: 1, "A=B": 0, None: 0}
        right += sum(points.get(decision, -1) for decision in (one, turned)) > 0
    assert rescore(lines, benchmark="judgebench").values["accuracy"] == pytest.approx(100 * right / len(rows))


@settings(deadline=None)
@given(st.lists(st.tuples(scores, scores, st.sampled_from(["0", "1", "tie"])), min_size=1, max_size=25))
def test_mj_bench_equals_a_brute_force_over_thresholds(rows: list[tuple]) -> None:
    lines = [{"id": n, "score_0": a, "score_1": b, "label": label} for n, (a, b, label) in enumerate(rows)]
    if all(a is None or b is None for a, b, _ in rows):
        with pytest.raises(DataError, match="no line has scores"):
            rescore(lines, benchmark="mj_bench")
        return

    def share(threshold: float | None) -> float:
        def made(a, b):
            return None if a is None or b is None else "tie" if abs(b - a) <= threshold else "0" if a > b else "1"

        assert threshold is not None
        return 100 * sum(made(a, b) == label for a, b, label in rows) / len(rows)

    found = rescore(lines, benchmark="mj_bench")
    assert found.values["accuracy"] == pytest.approx(share(0.0))
    assert found.n_failed == sum(a is None or b is None for a, b, _ in rows)
    tried = [0.0, *(abs(a - b) for a, b, _ in rows if a is not None and b is not None)]
    best = rescore(lines, benchmark="mj_bench", rule="best_threshold")
    assert best.values["accuracy"] == pytest.approx(max(map(share, tried)))
    assert best.values["accuracy"] == pytest.approx(share(best.threshold))


def test_four_way_tells_the_two_ties_apart_and_a_plain_tie_is_right_for_both() -> None:
    rows = [
        ("tievote", "[[A=B=Good]]", 1), ("tievote", "[[A=B=Bad]]", 0), ("bothbad_vote", "[[A=B=Bad]]", 1),
        ("bothbad_vote", "[[A=B]]", 1), ("tievote", "[[A=B]]", 1), ("leftvote", "[[A>>B]]", 1), ("rightvote", "[[B>>A]]", 1),
        ("leftvote", "[[A > B]]", 0), ("leftvote", "[['A'>'B']]", 0), ("bothbad_vote", "[[Tie]]", 0), ("leftvote", None, 0),
    ]  # fmt: skip
    lines = [{"item": str(n), "label": label, "vote": vote} for n, (label, vote, _) in enumerate(rows)]
    result = rescore(lines, benchmark="genai_bench")
    assert result.values["accuracy"] == pytest.approx(100 * sum(right for *_, right in rows) / len(rows))
    assert result.n_failed == 4
    assert rescore(lines, benchmark="genai_bench", rule="tau").values["accuracy"] == pytest.approx(100 * 7 / 11)
