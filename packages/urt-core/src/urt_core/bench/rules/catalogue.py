"""Every benchmark, by name."""

from urt_core.bench.rules.general import ANSWERED, BOTH_ORDERS, GIVEN_ONLY
from urt_core.bench.rules.generation import (
    EDITREWARD_EDITSCORE,
    EDITREWARD_TIGER,
    GENAI_BENCH,
    HPDV2_TEST,
    HPDV3_TEST,
    IMAGEREWARD_TEST,
    MJ_BENCH,
    MMRB2_BENCH,
    VIDEOGEN_REWARDBENCH,
)
from urt_core.bench.rules.rule import Benchmark, Rule
from urt_core.bench.rules.understanding import (
    JUDGEBENCH_BENCH,
    MM_RLHF,
    MULTIMODAL_REWARDBENCH,
    REWARDBENCH_2,
    VL_REWARDBENCH,
)

PAIRS = Benchmark(
    name="pairs",
    shapes=("urt", "genai_bench", "mmrb2", "judgebench", "mj_bench"),
    title="Pairs of your own",
    source="any folder of shards that `urt-data` has written",
    official="accuracy",
    rules=(
        Rule(
            name="accuracy",
            wording="right where the verdict is the label, over the judgements of both orders; ties in the labels left out; unreadable is wrong",
            groups="as_recorded",
        ),
        Rule(name="with_ties", wording="over all pairs, right where the verdict is the label", labels="all"),
        GIVEN_ONLY,
        BOTH_ORDERS,
        ANSWERED,
    ),
)

_ALL = (
    GENAI_BENCH,
    VL_REWARDBENCH,
    MULTIMODAL_REWARDBENCH,
    MMRB2_BENCH,
    VIDEOGEN_REWARDBENCH,
    MM_RLHF,
    HPDV2_TEST,
    HPDV3_TEST,
    IMAGEREWARD_TEST,
    MJ_BENCH,
    EDITREWARD_TIGER,
    EDITREWARD_EDITSCORE,
    REWARDBENCH_2,
    JUDGEBENCH_BENCH,
    PAIRS,
)

BENCHMARKS = {benchmark.name: benchmark for benchmark in _ALL}
ALIASES = {
    "judge_bench": "judgebench",
    "genai_bench_image": "genai_bench",
    "genai_bench_video": "genai_bench",
    "mm_rlhf": "mm_rlhf_rewardbench",
    "rewardbench2": "rewardbench_2",
    "vlrb": "vl_rewardbench",
}
"""Other names: of the folder in which outputs are published, of `urt-data`'s sources."""
