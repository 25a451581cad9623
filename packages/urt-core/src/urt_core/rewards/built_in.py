"""The built-in rewards: format, accuracy and consistency of a judgement, each 0 or 1, and its stated confidence.

Format and accuracy are the rewards of UnifiedReward-Think (arXiv 2505.03318), R = R_format + R_accuracy. We differ from
the released code in three ways: the whole text must have the shape, not only its beginning; the verdict is read by the
parser, so a final full stop or letter case costs nothing; without tags a verdict earns nothing in v1 and v2. The
consistency reward is our own: stated scores, sums and verdict agree. Unreadable text earns 0 in each of the three.
"""

from collections.abc import Callable, Mapping

from urt_core.errors import RecordError
from urt_core.judgement import Judgement
from urt_core.prompts.names import contract_of
from urt_core.records import Preference
from urt_core.rewards.sample import RewardInput


def format_reward(sample: RewardInput) -> float:
    """1 if the text is readable and has the shape of its contract: in v1 and v2 one think and one answer block, in
    direct one sentence."""
    judgement = sample.judgement
    return float(isinstance(judgement, Judgement) and contract_of(sample.dialect).has_shape(sample.text, judgement))


def accuracy_reward(sample: RewardInput) -> float:
    """1 if the verdict is the label."""
    label = _label(sample, needed_by="accuracy")
    return float(isinstance(sample.judgement, Judgement) and sample.judgement.verdict is label)


def consistency_reward(sample: RewardInput) -> float:
    """1 if every core dimension is scored, the sums add up and the verdict names the higher total."""
    judgement = sample.judgement
    if not isinstance(judgement, Judgement):
        return 0.0
    sound = judgement.sums_consistent is True and judgement.answer_matches_totals is True
    return float(scores_every_dimension(sample) and sound)


def confidence_reward(sample: RewardInput) -> float:
    """right - (q - right)^2, from -1 to 1, for the stated confidence q (RLCR, arXiv 2507.16806: correctness less the
    Brier score).

    Whatever the verdict, its mean is highest where q is the share of such verdicts that are right, and for such a q it
    rises with that share. What can't be read or states no confidence earns -1, as a wrong verdict that is sure.
    """
    label = _label(sample, needed_by="confidence")
    judgement = sample.judgement
    if not isinstance(judgement, Judgement) or judgement.confidence is None:
        return -1.0
    right = float(judgement.verdict is label)
    return right - (judgement.confidence - right) ** 2


def _label(sample: RewardInput, *, needed_by: str) -> Preference:
    if sample.record.preference is None:
        raise RecordError(
            f"record {sample.record.key} has no preference; the {needed_by} reward needs a labelled record"
        )
    return sample.record.preference


def scores_every_dimension(sample: RewardInput) -> bool:
    """Whether the text can be read and scores both candidates in every core dimension of its task."""
    judgement = sample.judgement
    core = contract_of(sample.dialect).scale(sample.record.task, sample.dialect).dimensions
    return isinstance(judgement, Judgement) and all(dimension in judgement.scores for dimension in core)


BUILT_IN: Mapping[str, Callable[[RewardInput], float]] = {
    "format": format_reward,
    "accuracy": accuracy_reward,
    "consistency": consistency_reward,
    "confidence": confidence_reward,
}
