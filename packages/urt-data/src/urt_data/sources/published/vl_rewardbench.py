"""VL-RewardBench: two answers about an image, nearly always the better one first; evaluation only.

    {"id", "query", "response": [a, b], "image", "human_ranking": [0, 1], "query_source", "models", "judge", ...}

The lower rank is better. Items are grouped as the benchmark's own script does, by the beginning of their id: 183
general, 749 hallucination (POVID's ids begin with `hallucination`), 318 reasoning. UnifiedReward's evaluators count
POVID as general.
"""

import re
from collections.abc import Iterator

from urt_core.records import Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair, compare
from urt_data.sources.rows import Row, as_real
from urt_data.sources.source import Source

SUBSETS = {
    "RLAIF": ("rlaif-v", "hallucination"),
    "RLHF": ("rlhf-v", "hallucination"),
    "hallucination": ("povid", "hallucination"),
    "mathverse": ("reasoning_tasks", "reasoning"),
    "mmmu": ("reasoning_tasks", "reasoning"),
    "wildvision": ("wildvision-battle", "general"),
}


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    answers = row.items("response", length=2)
    first, second = (as_real(rank, "human_ranking") for rank in row.items("human_ranking", length=2))
    identity = row.text("id")
    subset, category = SUBSETS.get(re.split(r"[-_]", identity)[0], ("vlfeedback", "general"))
    yield Pair(
        task=Task.IMAGE_UNDERSTANDING,
        text=row.text("query"),
        first=answers[0],
        second=answers[1],
        media=folder.image(row.require("image"), "image"),
        preference=compare(-first, -second),
        notes={
            "item": identity,
            "subset": subset,
            "category": category,
            "query_source": row.get("query_source") or None,
        },
    )


SOURCE = Source(
    name="vl_rewardbench",
    repository="MMInstruction/VL-RewardBench",
    revision="vl-rewardbench/VL_RewardBench@9b10abdc91",
    licence="MIT",
    commercial_ok=True,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_UNDERSTANDING,),
    files=("**/*.parquet", "*.json"),
    fields=("id", "query", "response", "image", "human_ranking", "query_source"),
    winner_first=True,
    evaluation_only=True,
    pairs=pairs,
)
