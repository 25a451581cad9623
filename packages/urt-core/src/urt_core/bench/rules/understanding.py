"""Benchmarks of judges of answers, about images and videos or in text alone."""

from urt_core.bench.rules.general import BOTH_ORDERS, GIVEN_ONLY
from urt_core.bench.rules.rule import Benchmark, Rule

JUDGEBENCH = "ScalerLab/JudgeBench utils/metrics.py"

JUDGEBENCH_COMMIT = "e2c52c284e735e139b3daa61c206ee208f36c461"


def vl_rewardbench_rule(
    name: str, *, groups: str, sizes: str, source: str, commit: str = "", leave_out: bool = False, is_error: str = ""
) -> Rule:
    left = "leave the denominator" if leave_out else "are wrong"
    return Rule(
        name=name,
        wording=f"majority of all votes; ties and unreadable output {left}; {sizes}; overall over items, macro over groups",
        orders="pooled",
        headline="overall",
        macro="macro",
        groups=groups,
        predicted_ties="left_out" if leave_out else "wrong",
        unreadable="left_out" if leave_out else "wrong",
        source=source,
        commit=commit,
        is_error=is_error,
    )


VL_REWARDBENCH = Benchmark(
    name="vl_rewardbench",
    title="VL-RewardBench",
    source="https://huggingface.co/datasets/MMInstruction/VL-RewardBench (arXiv 2411.17451)",
    official="canonical",
    sizes={"all": 1250},
    rules=(
        vl_rewardbench_rule(
            "canonical",
            groups="vl_rewardbench",
            sizes="183 general, 749 hallucination, 318 reasoning",
            leave_out=True,
            source="vl-rewardbench/VL_RewardBench cal.py",
            commit="9b10abdc91",
        ),
        vl_rewardbench_rule(
            "unreadable_wrong",
            groups="vl_rewardbench",
            sizes="183 general, 749 hallucination, 318 reasoning",
            source="urt",
        ),
        vl_rewardbench_rule(
            "official_compat",
            groups="vl_rewardbench_unifiedreward",
            sizes="631 general, 301 hallucination, 318 reasoning",
            source="CodeGoat24/UnifiedReward benchmark_evaluation",
            commit="ff6f520247",
            is_error="POVID's 448 items count as general: groups and macro are not comparable with the benchmark's own",
        ),
        vl_rewardbench_rule(
            "r1_reward",
            groups="vl_rewardbench_r1_reward",
            sizes="484 general, 448 hallucination, 318 reasoning",
            source="yfzhang114/r1_reward inference/VL-Reward-Bench; also Proxy-GRM",
            commit="3693413",
            is_error="lower-case rlhf and rlaif never match the ids, so that 301 items count as general",
        ),
        BOTH_ORDERS,
    ),
    advice="three groupings are in use; macro is called overall in places; a released evaluator always shows the chosen answer first",
)

MULTIMODAL_REWARDBENCH = Benchmark(
    name="multimodal_rewardbench",
    title="Multimodal RewardBench",
    source="https://github.com/facebookresearch/multimodal_rewardbench (arXiv 2502.14191)",
    official="accuracy",
    rules=(
        Rule(
            name="accuracy",
            wording="right where the verdict is the label, over all pairs and per category; unreadable output is wrong",
            groups="multimodal_rewardbench",
            source="facebookresearch/multimodal_rewardbench scripts/2_get_accuracy.py, where unreadable output is a coin toss",
            commit="b4b92cdac0",
        ),
        GIVEN_ONLY,
        BOTH_ORDERS,
    ),
    advice="lmms-eval seeds its coin inside each item, so that every unreadable output is A, and [[A]] wins where both occur",
)

MM_RLHF = Benchmark(
    name="mm_rlhf_rewardbench",
    title="MM-RLHF-RewardBench",
    source="https://huggingface.co/datasets/yifanzhang114/MM-RLHF-RewardBench (arXiv 2502.10391)",
    official="accuracy",
    sizes={"all": 170},
    rules=(
        Rule(
            name="accuracy",
            wording="accuracy over pairs; accuracy_plus over items, right where all pairs of an item are; per category",
            all_of_item="accuracy_plus",
            groups="as_recorded",
            source="Kwai-YuanQi/MM-RLHF",
            commit="7c8af1d",
        ),
        Rule(
            name="given_only",
            wording="accuracy and accuracy_plus of the given order alone, in which the better answer always stands first",
            all_of_item="accuracy_plus",
            groups="as_recorded",
            only_given=True,
            is_error="the released scripts show the chosen answer first, always: a judge that only says 1 has 100 %",
        ),
        BOTH_ORDERS,
    ),
)

JUDGEBENCH_BENCH = Benchmark(
    name="judgebench",
    shapes=("urt", "judgebench"),
    title="JudgeBench",
    source="https://github.com/ScalerLab/JudgeBench (arXiv 2410.12784)",
    official="sum_of_orders",
    sizes={"GPT-4o": 350, "Claude 3.5 Sonnet": 270},
    rules=(
        Rule(
            name="sum_of_orders",
            wording="+1 for each order whose verdict is the label, -1 for the opposite one; right above 0, so that (right, tie) is right",
            orders="sum",
            groups="judgebench",
            source=JUDGEBENCH,
            commit=JUDGEBENCH_COMMIT,
        ),
        Rule(
            name="both_orders",
            wording="right only where the verdicts of both orders are the label",
            orders="both",
            groups="judgebench",
        ),
        Rule(
            name="mean_of_orders",
            wording="the mean over the judgements of both orders; a tie is wrong",
            groups="judgebench",
        ),
        Rule(
            name="macro",
            wording="as sum_of_orders, with the mean over groups as the headline",
            orders="sum",
            groups="judgebench",
            headline="micro",
            macro="accuracy",
            is_error="the mean over groups is reported in places under the benchmark's name, whose number is over all pairs",
        ),
    ),
    advice="(right, tie) is right and (right, wrong) is not; for one judge the three rules give 65.7, 58.0 and 72.7",
)

REWARDBENCH_2 = Benchmark(
    name="rewardbench_2",
    shapes=("rewardbench2",),
    title="RewardBench 2",
    source="https://github.com/allenai/reward-bench (arXiv 2506.01937)",
    official="best_of_four",
    kind="lists",
    sizes={"all": 1865},
    rules=(
        Rule(
            name="best_of_four",
            wording="right where the chosen answer has the highest of four scores, 1/k where k share it; Ties by its own formula; "
            "the mean over subsets",
            headline="average",
            source="allenai/reward-bench rewardbench/utils.py, scripts/run_v2.py",
            commit="a0096928eb",
        ),
    ),
    advice="the Ties subset is left out in places; it is 60 % accuracy and 40 % margins",
)
