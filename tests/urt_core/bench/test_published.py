"""Real outputs of other people's judges, and the numbers their authors published from them. The files lie beside the
checkout (`../shared/published`, or where URT_PUBLISHED says) and are no part of the project."""

import gzip
import json
import os
from pathlib import Path

import pytest

from urt_core.bench import rescore

ROOT = Path(__file__).resolve().parents[3]
PLACES = [Path(os.environ.get("URT_PUBLISHED", "")), ROOT.parent / "shared" / "published"]
PLACES.append(ROOT.parents[1] / "shared" / "published")
PUBLISHED = next((place for place in PLACES if (place / "genai_bench" / "board.json").is_file()), None)
pytestmark = pytest.mark.skipif(
    PUBLISHED is None, reason="published outputs are not beside the checkout (../shared/published, or URT_PUBLISHED)"
)

GENAI = {
    "image_generation": {"random": 25.36, "gpt4o": 45.59, "llava": 37.00, "minicpm-V-2.5": 37.81, "idefics1": 0.81},
    "image_edition": {"random": 25.90, "gpt4o": 53.54, "llava": 26.12, "minicpm-V-2.5": 25.24, "idefics1": 5.66},
    "video_generation": {"random": 25.16, "gpt4o": 48.46, "llava": 30.40, "minicpm-V-2.5": 6.55, "idefics1": 0.19},
}
NEVER_READABLE = ("ottervideo", "otterimage", "mantis-8b-idefics2", "mantis-8b-idefics2_8192")
CELLS = [(task, model, value) for task, row in GENAI.items() for model, value in row.items()] + [
    (task, model, 0.0) for task in GENAI for model in NEVER_READABLE
]


def lines(*parts: str) -> list[dict]:
    assert PUBLISHED is not None
    with gzip.open(PUBLISHED.joinpath(*parts), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def accuracy(found: list[dict], benchmark: str, rule: str = "official") -> float:
    return round(rescore(found, benchmark=benchmark, rule=rule).values["accuracy"], 2)


@pytest.mark.parametrize(("task", "model", "value"), CELLS)
def test_genai_bench_four_way_gives_the_board(task: str, model: str, value: float) -> None:
    found = lines("genai_bench", task, f"{model}.jsonl.gz")
    assert accuracy(found, "genai_bench", "four_way") == accuracy(found, "genai_bench") == value
    result = rescore(found, benchmark="genai_bench")
    assert result.values["accuracy"] == pytest.approx(100 * sum(line["correct"] for line in found) / len(found))
    assert (result.n_total, result.n_scored + result.n_failed, result.is_complete) == (len(found), len(found), True)


OTHER_RULES = {
    ("image_generation", "gpt4o"): (55.44, 74.56, 971, 47.95),
    ("image_generation", "llava"): (49.16, 49.20, 1305, 37.00),
    ("image_generation", "minicpm-V-2.5"): (50.23, 50.46, 1300, 37.98),
    ("image_generation", "random"): (26.26, 50.37, 681, 32.33),
    ("image_edition", "gpt4o"): (72.17, 83.64, 434, 53.97),
    ("image_edition", "llava"): (47.71, 47.71, 503, 26.12),
    ("image_edition", "minicpm-V-2.5"): (46.12, 47.06, 493, 26.22),
    ("image_edition", "random"): (25.25, 50.60, 251, 37.00),
    ("video_generation", "gpt4o"): (68.86, 77.12, 625, 49.77),
    ("video_generation", "llava"): (46.43, 46.43, 700, 30.40),
    ("video_generation", "minicpm-V-2.5"): (7.29, 43.59, 117, 9.92),
    ("video_generation", "random"): (25.43, 50.71, 351, 33.30),
}


@pytest.mark.parametrize(("cell", "expected"), OTHER_RULES.items(), ids=lambda value: "/".join(map(str, value)))
def test_genai_bench_by_the_other_rules(cell: tuple[str, str], expected: tuple[float, float, int, float]) -> None:
    found = lines("genai_bench", cell[0], f"{cell[1]}.jsonl.gz")
    diff, answered, num_answered, tau = expected
    assert accuracy(found, "genai_bench", "diff") == diff
    assert accuracy(found, "genai_bench", "answered") == answered
    assert rescore(found, benchmark="genai_bench", rule="answered").n_of["accuracy"] == num_answered
    assert accuracy(found, "genai_bench", "tau") == tau


@pytest.mark.parametrize(("part", "value"), [("t2i", 53.20), ("edit", 55.50)])
def test_mmrb2_sample_judgements(part: str, value: float) -> None:
    result = rescore(lines("mmrb2", f"{part}.jsonl.gz"), benchmark="mmrb2")
    assert round(result.values["accuracy"], 2) == value
    assert (result.n_total, result.n_failed) == (2000, 0)
    assert (result.values["position_consistency"], result.values["first_picked"]) == (100.0, 50.0)


JUDGES = {
    "gpt-4o-2024-05-13__reward_model__Ray2333_GRM-Gemma-2B-rewardmodel-ft": (
        (59.43, 59.43, 59.43, 100.0), (62.99, 53.06, 64.29, 54.76),
    ),
    "gpt-4o-2024-05-13__reward_model__Skywork_Skywork-Reward-Llama-3.1-8B": (
        (62.29, 62.29, 62.43, 99.7), (59.09, 64.29, 76.79, 50.00),
    ),
    "gpt-4o-2024-05-13__reward_model__internlm_internlm2-7b-reward": (
        (59.43, 59.43, 59.43, 100.0), (56.49, 61.22, 71.43, 50.00),
    ),
    "claude-3-5-sonnet-20240620__arena_hard__claude-3-haiku-20240307": (
        (32.22, 14.07, 31.30, 30.0), (37.66, 29.41, 32.35, 9.68),
    ),
}  # fmt: skip


@pytest.mark.parametrize("judge", JUDGES)
def test_judgebench_by_its_three_rules(judge: str) -> None:
    found, ((official, both, mean, steady), groups) = lines("judge_bench", f"{judge}.jsonl.gz"), JUDGES[judge]
    rules = ("official", "both_orders", "mean_of_orders")
    assert tuple(accuracy(found, "judgebench", rule) for rule in rules) == (official, both, mean)
    values = rescore(found, benchmark="judgebench").values
    assert round(values["position_consistency"], 1) == steady
    assert tuple(round(values[name], 2) for name in ("knowledge", "reasoning", "math", "coding")) == groups


SCORERS = {
    "HPSv2score": (66.35, 56.40, 56.40, 0.0, 56.4, 56.4),
    "ImageReward": (64.00, 54.40, 54.40, 0.0, 54.4, 54.4),
    "clipscore": (62.12, 52.80, 53.20, 0.00061, 53.2, 53.4),
}


@pytest.mark.parametrize("scorer", SCORERS)
def test_mj_bench_scores(scorer: str) -> None:
    found = lines("mj_bench", f"{scorer}_eval_0.00.jsonl.gz")
    without, with_ties, best, threshold, compat, reversed_compat = SCORERS[scorer]
    assert accuracy(found, "mj_bench", "without_ties") == without
    assert accuracy(found, "mj_bench") == with_ties
    assert accuracy(found, "mj_bench", "best_threshold") == best
    assert rescore(found, benchmark="mj_bench", rule="best_threshold").threshold == pytest.approx(threshold, abs=5e-6)
    assert accuracy(found, "mj_bench", "compat") == compat
    assert accuracy(found[::-1], "mj_bench", "compat") == reversed_compat  # as the sweep itself does
    by_hand = 100 * sum(line["pred"] == line["label"] for line in found) / len(found)
    assert rescore(found, benchmark="mj_bench").values["accuracy"] == pytest.approx(by_hand)
