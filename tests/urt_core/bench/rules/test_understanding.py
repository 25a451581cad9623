"""VL-RewardBench by the rules of its evaluators: what is left out, and how large the groups are."""

from tests.urt_core.bench.lines import judgement
from urt_core.bench import rescore
from urt_core.bench.rules.groups import GROUPINGS


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
