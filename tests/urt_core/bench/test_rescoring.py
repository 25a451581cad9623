"""Rules against a brute force, judges whose number is known by construction, and files that are wrong."""

import math
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urt_core.bench import BENCHMARKS, rescore
from urt_core.bench.rules.groups import GROUPINGS
from urt_core.bench.rules.lists import ScoredList, ties_score
from urt_core.errors import ConfigError, DataError
from urt_core.metrics import wilson_interval

OTHER = {"first": "second", "second": "first"}
PREFERENCES = ("first", "second", "tie")


def judgement(key: str, order: str, label: str, verdict: str | None, **more) -> dict:
    """A line as the judge was shown the pair."""
    return {"key": key, "order": order, "label": label, "verdict": verdict, "item": key, "group": "", **more}


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


scores = st.one_of(st.none(), st.integers(-4, 4).map(lambda n: n / 4))


def test_a_score_that_no_float_holds_is_no_score() -> None:
    lines = [
        {"id": 0, "score_0": 1, "score_1": 0, "label": "0"},
        {"id": 1, "score_0": 10**400, "score_1": 0, "label": "0"},
    ]
    found = rescore(lines, benchmark="mj_bench")
    assert (found.values["accuracy"], found.n_failed) == (50.0, 1)


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


def test_without_a_vote_the_first_double_bracket_of_the_text_counts() -> None:
    text = "A looks better.\n[[A>B]]\nOn reflection: [[B>A]]"
    assert (
        rescore(
            [{"item": "1", "label": "leftvote", "response": text}], benchmark="genai_bench", shape="genai_bench"
        ).values["accuracy"]
        == 100.0
    )


def test_vl_rewardbench_groups_of_three_evaluators() -> None:
    """The sizes of the set, by the beginnings of its ids: 183, 448 POVID, 301 RLHF-V and RLAIF-V, 318."""
    ids = [f"vlfeedback-{n}" for n in range(183)] + [f"hallucination_pair-{n}" for n in range(448)]
    ids += [f"RLAIF-{n}" for n in range(200)] + [f"RLHF-{n}" for n in range(101)]
    ids += [f"mathverse_{n}" for n in range(200)] + [f"mmmu-{n}" for n in range(118)]
    lines = [judgement(f"k{n}", "given", "first", "first", item=name) for n, name in enumerate(ids)]
    expected = {"canonical": (183, 749, 318), "official_compat": (631, 301, 318), "r1_reward": (484, 448, 318)}
    for rule, sizes in expected.items():
        result = rescore(lines, benchmark="vl_rewardbench", rule=rule)
        assert tuple(result.n_of[name] for name in ("general", "hallucination", "reasoning")) == sizes
        assert result.is_complete
    assert GROUPINGS["vl_rewardbench"]("wildvision-battle-3", "", 1) == "general"


def test_overall_is_over_items_and_macro_over_groups() -> None:
    lines = [
        judgement(f"k{n}", "given", "first", "first" if n < 6 else "second", item=f"vlfeedback-{n}") for n in range(9)
    ]
    lines += [judgement("m", "given", "first", "first", item="mmmu-1")]
    values = rescore(lines, benchmark="vl_rewardbench").values
    assert values["overall"] == pytest.approx(70.0)
    assert values["macro"] == pytest.approx(100 * (6 / 9 + 1) / 2)


def test_votes_are_pooled_and_ties_and_unreadable_drop_out_of_vl_rewardbench() -> None:
    votes = {
        "a": ["first", "first", "second"],
        "b": [None, "second", "second"],
        "c": ["first", "second", None],
        "d": [None],
    }
    lines = [
        judgement(key, "given", "first", verdict, vote_index=n, item=f"mmmu-{key}")
        for key, cast in votes.items()
        for n, verdict in enumerate(cast)
    ]
    result = rescore(lines, benchmark="vl_rewardbench")
    assert (result.values["overall"], result.n_of["overall"]) == (50.0, 2)
    assert (result.n_total, result.n_failed) == (4, 1)
    assert rescore(lines, benchmark="vl_rewardbench", rule="unreadable_wrong").values["overall"] == 25.0


def test_accuracy_plus_needs_all_pairs_of_an_item() -> None:
    verdicts = {"a": ["first", "first"], "b": ["first", "second"], "c": ["second"]}
    lines = [
        judgement(f"{item}{n}", "given", "first", verdict, item=item, group="mcq")
        for item, row in verdicts.items()
        for n, verdict in enumerate(row)
    ]
    values = rescore(lines, benchmark="mm_rlhf_rewardbench").values
    assert (values["accuracy"], values["accuracy_plus"]) == (pytest.approx(60.0), pytest.approx(100 / 3))


def test_a_tuple_is_right_where_all_its_pairs_are_and_k_follows_from_their_number() -> None:
    lines = [judgement(f"two{n}", "given", "first", "first", item=f"two{n}") for n in range(2)]
    lines += [judgement(f"three{n}", "given", "first", "first" if n else "second", item="three") for n in range(3)]
    lines += [judgement(f"four{n}", "given", "first", "first", item="four") for n in range(6)]
    values = rescore(lines, benchmark="editreward_bench_tiger").values
    assert (values["accuracy"], values["k2"], values["k3"], values["k4"]) == (75.0, 100.0, 0.0, 100.0)
    assert rescore(lines, benchmark="editreward_bench_tiger", rule="pair_accuracy").values["accuracy"] == pytest.approx(
        1000 / 11
    )


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


def test_an_interval_of_independent_items_is_wilsons_and_a_clustered_one_is_wider() -> None:
    lines = [judgement(f"k{n}", "given", "first", "first" if n % 4 else "second") for n in range(200)]
    result = rescore(lines, benchmark="pairs")
    assert result.interval("accuracy") == pytest.approx(tuple(100 * bound for bound in wilson_interval(150, 200)))
    clustered = [
        line | {"item": f"i{n // 20}"} for n, line in enumerate(sorted(lines, key=lambda line: line["verdict"]))
    ]
    low, high = rescore(clustered, benchmark="pairs").interval("accuracy")
    assert high - low > 2 * (result.interval("accuracy")[1] - result.interval("accuracy")[0])


def test_an_incomplete_set_says_what_was_found_and_expected() -> None:
    lines = [{"item": str(n), "label": "leftvote", "vote": "[[A>B]]"} for n in range(1734)]
    result = rescore(lines, benchmark="genai_bench")
    assert result.is_complete is False
    assert "INCOMPLETE" in result.notes[0]
    assert "1,734" in result.notes[0]
    assert "1,735" in result.notes[0]


@pytest.mark.parametrize(
    ("lines", "asked", "message"),
    [
        ([judgement("a", "given", "first", "first")] * 2, {}, r"line 2: repeats the judgement of line 1.*remove"),
        ([judgement("a", "given", "first", "up")], {}, r"line 1: has verdict 'up'.*allowed"),
        ([judgement("a", "given", "tie", "tie")], {"benchmark": "genai_bench"}, "which kind.*tie_kind"),
        ([judgement("a", "given", "tie", "tie")], {}, "every label is a tie"),
        ([judgement("a", "given", "first", "first")], {"benchmark": "mj_bench"}, "makes verdicts from margins"),
        ([{"item": "1", "chosen": "A", "forward": ["A"], "reverse": ["A"]}], {"benchmark": "genai_bench"}, "another benchmark"),
        ([{"what": 1}], {}, "line 1: has the fields what, which is no known shape"),
        (["text"], {}, "line 1: is a JSON str"),
        ([], {}, "holds no lines"),
        (
            [judgement("a", "given", "first", "first"), judgement("a", "swapped", "first", "first")],
            {},
            r"line 2: pair .a. is labelled second, and first further up",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_named_with_line_and_remedy(lines: list, asked: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rescore(lines, **{"benchmark": "pairs", **asked})


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"benchmark is 'genai'.*genai_bench"):
        rescore([], benchmark="genai")
    with pytest.raises(ConfigError, match=r"no rule 'best'.*four_way.*diff"):
        rescore([], benchmark="genai_bench", rule="best")


def test_memory_does_not_grow_with_the_texts() -> None:
    def lines(length: int):
        for n in range(2_000):
            yield judgement(f"k{n}", "given", "first", "first", text="x" * length)

    peaks = []
    for length in (10, 20_000):
        tracemalloc.start()
        rescore(lines(length), benchmark="pairs")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000
