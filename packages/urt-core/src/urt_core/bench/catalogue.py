"""The benchmarks: their rules, where these are written down, and the common mistakes beside them."""

from urt_core.bench.rules import Benchmark, Rule

GENAI = "TIGER-AI-Lab/GenAI-Bench inference.py, show_results.py"
GENAI_COMMIT = "f0b0334d414074c6b1c97e2c60ad8d8a592bda9f"
VLRB = "vl-rewardbench/VL_RewardBench cal.py"
VIDEOALIGN = "KwaiVGI/VideoAlign calc_accuracy.py; ties after Deutsch et al. 2023 (arXiv 2305.14324)"
VIDEOALIGN_COMMIT = "219ab9db64"
MMRB2 = "facebookresearch/MMRB2 evaluate/compute_accuracy.py"
MMRB2_COMMIT = "7ff0552cf298441af5ebbabea634b682ef04afee"
JUDGEBENCH = "ScalerLab/JudgeBench utils/metrics.py"
JUDGEBENCH_COMMIT = "e2c52c284e735e139b3daa61c206ee208f36c461"
MJ = "MJ-Bench/MJ-Bench reward_models/score_reward_models.py"
MJ_COMMIT = "eb269adaff40460bed054963c504772317ad4955"


def pair_accuracy(*, wording: str, source: str = "", commit: str = "", groups: str = "") -> Rule:
    return Rule(name="pair_accuracy", wording=wording, source=source, commit=commit, groups=groups)


GIVEN_ONLY = Rule(
    name="given_only",
    wording="right where the verdict in the given order is the label",
    only_given=True,
    is_error="one order hides a preference for a place: where the better candidate stands first more often, so does always saying so",
)
BOTH_ORDERS = Rule(
    name="both_orders", orders="both", wording="right only where the verdicts of both orders are the label"
)
ANSWERED = Rule(
    name="answered",
    wording="only pairs with a better candidate on which the verdict names one; ties and unreadable output leave the denominator",
    predicted_ties="left_out",
    unreadable="left_out",
    is_error="a judge that answers the easy half alone looks better than one that answers everything",
)

GENAI_BENCH = Benchmark(
    name="genai_bench",
    title="GenAI-Bench",
    source="https://github.com/TIGER-AI-Lab/GenAI-Bench (arXiv 2406.04485)",
    official="four_way",
    sizes={
        "image generation": 1735,
        "image edition": 919,
        "video generation": 1069,
        "video generation, UnifiedReward's": 1889,
    },
    rules=(
        Rule(
            name="four_way",
            wording="over all votes, right where the verdict is the vote, with both good and both bad apart; a plain tie is right for both",
            labels="all",
            ties="four",
            source=GENAI,
            commit=GENAI_COMMIT,
        ),
        Rule(
            name="diff",
            wording="over pairs with a better candidate, right where it is named; a tie is wrong",
            source="field practice, such as UnifiedReward benchmark_evaluation",
            commit="ff6f520247",
        ),
        Rule(
            name="tau",
            wording="over all votes, with both kinds of tie as one",
            labels="all",
            source="field practice, such as UnifiedReward benchmark_evaluation",
            commit="ff6f520247",
        ),
        ANSWERED,
        BOTH_ORDERS,
    ),
    advice="four_way, diff and tau are published under one name; for GPT-4o they give 45.59, 55.44 and 47.95, and `answered` 74.56",
)

VL_REWARDBENCH = Benchmark(
    name="vl_rewardbench",
    title="VL-RewardBench",
    source="https://huggingface.co/datasets/MMInstruction/VL-RewardBench (arXiv 2411.17451)",
    official="canonical",
    sizes={"all": 1250},
    rules=tuple(
        Rule(
            name=name,
            wording=f"majority of all votes; ties and unreadable output {leave}; groups {sizes}; overall over items, macro over groups",
            orders="pooled",
            headline="overall",
            macro="macro",
            groups=groups,
            predicted_ties=unread,
            unreadable=unread,
            source=source,
            commit=commit,
            is_error=error,
        )
        for name, groups, sizes, unread, leave, source, commit, error in (
            (
                "canonical", "vl_rewardbench", "183 general, 749 hallucination, 318 reasoning", "left_out",
                "leave the denominator", VLRB, "9b10abdc91", "",
            ),
            (
                "unreadable_wrong", "vl_rewardbench", "183 general, 749 hallucination, 318 reasoning", "wrong",
                "are wrong", "urt", "", "",
            ),
            (
                "official_compat", "vl_rewardbench_unifiedreward", "631 general, 301 hallucination, 318 reasoning", "wrong",
                "are wrong", "CodeGoat24/UnifiedReward benchmark_evaluation", "ff6f520247",
                "POVID's 448 items count as general: groups and macro are not comparable with the benchmark's own",
            ),
            (
                "r1_reward", "vl_rewardbench_r1_reward", "484 general, 448 hallucination, 318 reasoning", "wrong",
                "are wrong", "yfzhang114/r1_reward inference/VL-Reward-Bench; also Proxy-GRM", "3693413",
                "lower-case rlhf and rlaif never match the ids, so that 301 items count as general",
            ),
        )
    )
    + (BOTH_ORDERS,),
    advice="three groupings are in use; macro is called overall in places; a released evaluator always shows the chosen answer first",
)  # fmt: skip

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

MMRB2_BENCH = Benchmark(
    name="mmrb2",
    title="Multimodal RewardBench 2",
    source="https://github.com/facebookresearch/MMRB2 (arXiv 2512.16899); CC-BY-NC 4.0, evaluation only",
    official="both_orders_mean",
    sizes={"one task": 1000},
    rules=(
        Rule(
            name="both_orders_mean",
            wording="the mean over the judgements of both orders; judgements that could not be read leave the denominator",
            unreadable="left_out",
            source=MMRB2,
            commit=MMRB2_COMMIT,
        ),
        Rule(
            name="unreadable_wrong",
            wording="the mean over the judgements of both orders; those that could not be read are wrong",
            source="urt",
        ),
        GIVEN_ONLY,
        BOTH_ORDERS,
    ),
    advice="failed judgements leave the official denominator silently; in one order always saying A scores 53.2 to 57.5",
)

JUDGEBENCH_BENCH = Benchmark(
    name="judgebench",
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

MJ_BENCH = Benchmark(
    name="mj_bench",
    title="MJ-Bench",
    source="https://github.com/MJ-Bench/MJ-Bench (arXiv 2407.04842)",
    official="with_ties",
    sizes={"Pick-a-Pic, validation": 500},
    rules=(
        Rule(
            name="with_ties",
            wording="over all pairs, a tie where |score_1 - score_0| is at most the threshold (0), else the larger score",
            labels="all",
            threshold=0.0,
            source=MJ,
            commit=MJ_COMMIT,
        ),
        Rule(
            name="without_ties",
            wording="over pairs with a better candidate, right where it has the larger score; equal scores are wrong",
            threshold=0.0,
            source=MJ,
            commit=MJ_COMMIT,
        ),
        Rule(
            name="best_threshold",
            wording="over all pairs, at the threshold between margins that gives the highest number: an upper bound",
            labels="all",
            threshold="best",
            source="Deutsch et al. 2023 (arXiv 2305.14324)",
        ),
        Rule(
            name="compat",
            wording="over all pairs, by the sweep that also stops within equal margins",
            labels="all",
            threshold="compat",
            source=VIDEOALIGN,
            commit=VIDEOALIGN_COMMIT,
            is_error="the number depends on the order of the rows, and belongs to a threshold that does not exist",
        ),
    ),
)

VIDEOGEN_REWARDBENCH = Benchmark(
    name="videogen_rewardbench",
    title="VideoGen-RewardBench",
    source="https://huggingface.co/datasets/KwaiVGI/VideoGen-RewardBench (arXiv 2501.13918)",
    official="without_ties",
    rules=(
        Rule(
            name="without_ties",
            wording="over pairs with a better candidate, right where it has the larger score; equal scores are wrong",
            threshold=0.0,
            source=VIDEOALIGN,
            commit=VIDEOALIGN_COMMIT,
        ),
        Rule(
            name="with_ties",
            wording="over all pairs, at the tie threshold between margins that gives the highest number: an upper bound",
            labels="all",
            threshold="best",
            source="Deutsch et al. 2023 (arXiv 2305.14324), thresholds that exist",
        ),
        Rule(
            name="with_ties_compat",
            wording="over all pairs, by the sweep of the benchmark's script, which also stops within equal margins",
            labels="all",
            threshold="compat",
            source=VIDEOALIGN,
            commit=VIDEOALIGN_COMMIT,
            is_error="with scores that repeat the number is too high, by up to 12.5 points on 40 pairs, and depends on the order of the rows",
        ),
        Rule(
            name="verdicts",
            wording="over pairs with a better candidate, right where the verdict names it: for judges without scores",
            source="field practice, such as UnifiedReward benchmark_evaluation",
            commit="ff6f520247",
        ),
        Rule(
            name="verdicts_with_ties",
            wording="over all pairs, right where the verdict is the label",
            labels="all",
            source="field practice, such as UnifiedReward benchmark_evaluation",
            commit="ff6f520247",
        ),
        ANSWERED,
    ),
    advice="VideoScore2's script cuts rivals' decimals and sets a threshold by hand for each judge",
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

EDITREWARD_TIGER = Benchmark(
    name="editreward_bench_tiger",
    title="EditReward-Bench (TIGER)",
    source="https://github.com/TIGER-AI-Lab/EditReward (arXiv 2509.26346)",
    official="tuples",
    rules=(
        Rule(
            name="tuples",
            wording="a tuple of K candidates is right where all its pairs are; over all tuples, and for K = 2, 3, 4",
            item_right="all",
            groups="size_of_tuple",
            source="TIGER-AI-Lab/EditReward EditReward/evaluate/eval_bench.py",
            commit="edb027e",
        ),
        pair_accuracy(wording="right where the verdict is the label, over pairs"),
    ),
    advice="another benchmark has the same name (editreward_bench_editscore), and counts pairs",
)

EDITREWARD_EDITSCORE = Benchmark(
    name="editreward_bench_editscore",
    title="EditReward-Bench (EditScore)",
    source="https://github.com/VectorSpaceLab/EditScore (arXiv 2509.23909)",
    official="pair_accuracy",
    rules=(
        pair_accuracy(
            wording="right where the verdict is the label, over pairs and per axis",
            source="VectorSpaceLab/EditScore evaluation.py",
            commit="6e0f1b9",
            groups="as_recorded",
        ),
        BOTH_ORDERS,
    ),
    advice="another benchmark has the same name (editreward_bench_tiger), and counts whole tuples",
)


def held_out(name: str, title: str, source: str, *, wording: str, advice: str = "") -> Benchmark:
    return Benchmark(
        name=name,
        title=title,
        source=source,
        official="pair_accuracy",
        rules=(pair_accuracy(wording=wording, source=source, groups="as_recorded"), GIVEN_ONLY, BOTH_ORDERS, ANSWERED),
        advice=advice,
    )


REWARDBENCH_2 = Benchmark(
    name="rewardbench_2",
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

_ALL = (
    GENAI_BENCH,
    VL_REWARDBENCH,
    MULTIMODAL_REWARDBENCH,
    MMRB2_BENCH,
    VIDEOGEN_REWARDBENCH,
    MM_RLHF,
    held_out(
        "hpdv2_test",
        "HPDv2 test",
        "https://github.com/tgxs002/HPSv2 (arXiv 2306.09341)",
        wording="right where the verdict is the label, over the pairs of the held-out rankings",
    ),
    held_out(
        "hpdv3_test",
        "HPDv3 test",
        "https://github.com/MizzenAI/HPSv3 (arXiv 2508.03789)",
        wording="right where the verdict is the label, over held-out pairs",
        advice="a reward service exchanged image and prompt in its call (UniRL, pull request 143)",
    ),
    held_out(
        "imagereward_test",
        "ImageReward test",
        "https://github.com/THUDM/ImageReward (arXiv 2304.05977)",
        wording="right where the verdict is the label, over the pairs of the held-out rankings",
    ),
    MJ_BENCH,
    EDITREWARD_TIGER,
    EDITREWARD_EDITSCORE,
    REWARDBENCH_2,
    JUDGEBENCH_BENCH,
    Benchmark(
        name="pairs",
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
    ),
)

BENCHMARKS = {benchmark.name: benchmark for benchmark in _ALL}
ALIASES = {"judge_bench": "judgebench", "genai_bench_image": "genai_bench", "genai_bench_video": "genai_bench"}
"""Other names: of the folder in which outputs are published, of `urt-data`'s sources."""
