"""Benchmarks of judges of generated images, edits and videos."""

from urt_core.bench.rules.general import ANSWERED, BOTH_ORDERS, GIVEN_ONLY, pair_accuracy
from urt_core.bench.rules.rule import Benchmark, Rule

GENAI = "TIGER-AI-Lab/GenAI-Bench inference.py, show_results.py"

GENAI_COMMIT = "f0b0334d414074c6b1c97e2c60ad8d8a592bda9f"

VIDEOALIGN = "KwaiVGI/VideoAlign calc_accuracy.py; ties after Deutsch et al. 2023 (arXiv 2305.14324)"

VIDEOALIGN_COMMIT = "219ab9db64"

MMRB2 = "facebookresearch/MMRB2 evaluate/compute_accuracy.py"

MMRB2_COMMIT = "7ff0552cf298441af5ebbabea634b682ef04afee"

MJ = "MJ-Bench/MJ-Bench reward_models/score_reward_models.py"

MJ_COMMIT = "eb269adaff40460bed054963c504772317ad4955"

GENAI_BENCH = Benchmark(
    name="genai_bench",
    shapes=("urt", "genai_bench"),
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

MMRB2_BENCH = Benchmark(
    name="mmrb2",
    shapes=("urt", "mmrb2"),
    title="Multimodal RewardBench 2",
    source="https://github.com/facebookresearch/MMRB2 (arXiv 2512.16899); CC-BY-NC 4.0, evaluation only",
    official="both_orders_mean",
    sizes={"one task": 1000, "four tasks": 4000},
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

MJ_BENCH = Benchmark(
    name="mj_bench",
    shapes=("urt", "mj_bench"),
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
    shapes=("urt", "mj_bench"),
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
        shapes=("urt", "mj_bench"),
        title=title,
        source=source,
        official="pair_accuracy",
        rules=(pair_accuracy(wording=wording, source=source, groups="as_recorded"), GIVEN_ONLY, BOTH_ORDERS, ANSWERED),
        advice=advice,
    )


HPDV2_TEST = held_out(
    "hpdv2_test",
    "HPDv2 test",
    "https://github.com/tgxs002/HPSv2 (arXiv 2306.09341)",
    wording="right where the verdict is the label, over the pairs of the held-out rankings",
)

HPDV3_TEST = held_out(
    "hpdv3_test",
    "HPDv3 test",
    "https://github.com/MizzenAI/HPSv3 (arXiv 2508.03789)",
    wording="right where the verdict is the label, over held-out pairs",
    advice="a reward service exchanged image and prompt in its call (UniRL, pull request 143)",
)

IMAGEREWARD_TEST = held_out(
    "imagereward_test",
    "ImageReward test",
    "https://github.com/THUDM/ImageReward (arXiv 2304.05977)",
    wording="right where the verdict is the label, over the pairs of the held-out rankings",
)
