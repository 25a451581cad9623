"""Items by group, as each evaluator splits them."""

import pytest

from tests.urt_core.bench.lines import judgement
from urt_core.bench import rescore
from urt_core.bench.rules.groups import GROUPINGS


def test_a_tuple_is_right_where_all_its_pairs_are_and_k_follows_from_their_number() -> None:
    lines = [judgement(f"two{n}", "given", "first", "first", item=f"two{n}") for n in range(2)]
    lines += [judgement(f"three{n}", "given", "first", "first" if n else "second", item="three") for n in range(3)]
    lines += [judgement(f"four{n}", "given", "first", "first", item="four") for n in range(6)]
    values = rescore(lines, benchmark="editreward_bench_tiger").values
    assert (values["accuracy"], values["k2"], values["k3"], values["k4"]) == (75.0, 100.0, 0.0, 100.0)
    assert rescore(lines, benchmark="editreward_bench_tiger", rule="pair_accuracy").values["accuracy"] == pytest.approx(
        1000 / 11
    )


@pytest.mark.parametrize(
    ("grouping", "item", "recorded", "group"),
    [
        ("as_recorded", "x-1", "video", "video"),
        ("vl_rewardbench", "RLHF-7", "", "hallucination"),
        ("vl_rewardbench", "hallucination_pair-7", "", "hallucination"),
        ("vl_rewardbench", "mathverse_7", "", "reasoning"),
        ("vl_rewardbench", "wildvision-battle-3", "", "general"),
        ("vl_rewardbench_unifiedreward", "hallucination_pair-7", "", "general"),
        ("vl_rewardbench_unifiedreward", "RLAIF-7", "", "hallucination"),
        ("vl_rewardbench_r1_reward", "RLAIF-7", "", "general"),
        ("vl_rewardbench_r1_reward", "hallucination_pair-7", "", "hallucination"),
        ("judgebench", "1", "mmlu-pro-law", "knowledge"),
        ("judgebench", "1", "livebench-reasoning", "reasoning"),
        ("judgebench", "1", "livebench-math", "math"),
        ("judgebench", "1", "livecodebench", "coding"),
        ("judgebench", "1", "another set", "another set"),
        ("multimodal_rewardbench", "PAIRS_3", "safety", "safety/bias"),
        ("multimodal_rewardbench", "hateful_3", "safety", "safety/toxicity"),
        ("multimodal_rewardbench", "MathVista_3", "reasoning", "reasoning/math"),
        ("multimodal_rewardbench", "webcode_3", "reasoning", "reasoning/coding"),
        ("multimodal_rewardbench", "webcode_3", "vqa", "vqa"),
    ],
)
def test_where_an_item_belongs(grouping: str, item: str, recorded: str, group: str) -> None:
    assert GROUPINGS[grouping](item, recorded, 1) == group


@pytest.mark.parametrize("size", range(2, 40))
def test_the_size_of_a_tuple_follows_from_its_pairs(size: int) -> None:
    assert GROUPINGS["size_of_tuple"]("", "", size * (size - 1) // 2) == f"k{size}"
