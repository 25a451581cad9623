"""How benchmarks split their items into groups. Where evaluators split the same set in different ways, each way has a
name."""

import math
import re
from collections.abc import Callable, Mapping

Grouping = Callable[[str, str, int], str]
"""(item, what the line says, number of the item's pairs) -> group; "" where it belongs to none."""


def as_recorded(item: str, recorded: str, num_pairs: int) -> str:
    return recorded


def vl_rewardbench(item: str, recorded: str, num_pairs: int) -> str:
    """183 general, 749 hallucination, 318 reasoning: `cal.py` of the benchmark; also lmms-eval and VLMEvalKit."""
    start = re.split(r"[-_]", item)[0]
    named = {"RLAIF": "hallucination", "RLHF": "hallucination", "hallucination": "hallucination"}
    named |= {"mathverse": "reasoning", "mmmu": "reasoning"}
    return named.get(start, "general")


def vl_rewardbench_unifiedreward(item: str, recorded: str, num_pairs: int) -> str:
    """631 / 301 / 318: items whose id begins with "hallucination" (POVID, 448) count as general."""
    return "general" if item.startswith("hallucination") else vl_rewardbench(item, recorded, num_pairs)


def vl_rewardbench_r1_reward(item: str, recorded: str, num_pairs: int) -> str:
    """484 / 448 / 318: lower-case "rlhf" and "rlaif" are looked for, so that "RLHF-..." and "RLAIF-..." (301) count as
    general."""
    return "general" if item.startswith(("RLHF", "RLAIF")) else vl_rewardbench(item, recorded, num_pairs)


def judgebench(item: str, recorded: str, num_pairs: int) -> str:
    """The prefix of `source`, as in the benchmark's script."""
    prefixes = {
        "mmlu-pro": "knowledge",
        "livebench-reasoning": "reasoning",
        "livebench-math": "math",
        "livecodebench": "coding",
    }
    return next((group for prefix, group in prefixes.items() if recorded.startswith(prefix)), recorded)


def multimodal_rewardbench(item: str, recorded: str, num_pairs: int) -> str:
    """Safety and reasoning are split by the beginning of the id, as in `scripts/2_get_accuracy.py`."""
    if recorded == "safety":
        return "safety/bias" if item.lower().startswith("pairs") else "safety/toxicity"
    if recorded == "reasoning":
        return "reasoning/math" if item.lower().startswith("math") else "reasoning/coding"
    return recorded


def size_of_tuple(item: str, recorded: str, num_pairs: int) -> str:
    """k2, k3, k4: as many pairs as K candidates make."""
    return f"k{(1 + math.isqrt(1 + 8 * num_pairs)) // 2}"


GROUPINGS: Mapping[str, Grouping] = {
    "as_recorded": as_recorded,
    "vl_rewardbench": vl_rewardbench,
    "vl_rewardbench_unifiedreward": vl_rewardbench_unifiedreward,
    "vl_rewardbench_r1_reward": vl_rewardbench_r1_reward,
    "judgebench": judgebench,
    "multimodal_rewardbench": multimodal_rewardbench,
    "size_of_tuple": size_of_tuple,
}
