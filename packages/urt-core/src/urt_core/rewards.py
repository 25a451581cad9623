"""Rewards of a judgement against the label of its record.

Format and accuracy are the rewards of UnifiedReward-Think (arXiv 2505.03318), R = R_format + R_accuracy. We differ from
the released code in three ways: the whole text must have the shape, not only its beginning; the verdict is read by the
parser, so a final full stop or letter case costs nothing; without tags a verdict earns nothing in v1 and v2. The
consistency reward is our own: stated scores, sums and verdict agree. Unreadable text earns 0 in every part.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from urt_core.errors import ConfigError, RecordError
from urt_core.judgement import Judgement, ParseFailure, parse_judgement
from urt_core.prompts.prompt import Dialect
from urt_core.records import PreferenceRecord

_TAGGED_SHAPE = re.compile(r"\s*<think>(?P<think>.*?)</think>\s*<answer>(?P<answer>.*?)</answer>\s*", re.DOTALL)
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
REWARD_PARTS = ("format", "accuracy", "consistency")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reward:
    """What a completion earned: Reward(total=2.0, parts={"format": 1.0, "accuracy": 1.0})."""

    total: float
    """The weighted sum of the parts."""
    parts: dict[str, float]
    """Each part before its weight."""


def judge_reward(
    text: str,
    record: PreferenceRecord,
    dialect: Dialect,
    *,
    weights: Mapping[str, float],
    truncated: bool = False,
) -> Reward:
    """The reward of one completion in training; `weights` name the parts, such as {"format": 1.0, "accuracy": 1.0}.

    A truncated completion (its token limit came first) earns 0 in every part, whatever it says.
    """
    unknown = [name for name in weights if name not in REWARD_PARTS]
    if unknown or not weights:
        raise ConfigError(f"reward weights name {unknown or 'nothing'}; give at least one of {', '.join(REWARD_PARTS)}")
    if not all(math.isfinite(weight) for weight in weights.values()):
        raise ConfigError(f"reward weights are {dict(weights)}; they must be finite numbers")
    judgement = parse_judgement(text, task=record.task, dialect=dialect)
    parts = dict.fromkeys(weights, 0.0)
    if not truncated:
        for name in weights:
            if name == "format":
                parts[name] = _format(text, judgement, dialect)
            elif name == "accuracy":
                parts[name] = accuracy_reward(judgement, record)
            else:
                parts[name] = consistency_reward(judgement, record)
    return combine(parts, weights=weights)


def format_reward(text: str, record: PreferenceRecord, dialect: Dialect) -> float:
    """1 if the whole text is one think and one answer block (or, in the direct dialect, one sentence) and readable."""
    return _format(text, parse_judgement(text, task=record.task, dialect=dialect), dialect)


def accuracy_reward(judgement: Judgement | ParseFailure, record: PreferenceRecord) -> float:
    """1 if the verdict is the label."""
    if record.preference is None:
        raise RecordError(f"record {record.key} has no preference; the accuracy reward needs a labelled record")
    return float(isinstance(judgement, Judgement) and judgement.verdict is record.preference)


def consistency_reward(judgement: Judgement | ParseFailure, record: PreferenceRecord) -> float:
    """1 if every core dimension is scored, the sums add up and the verdict names the higher total."""
    if isinstance(judgement, ParseFailure):
        return 0.0
    scored = all(dimension in judgement.scores for dimension in record.task.dimensions)
    return float(scored and judgement.sums_consistent is True and judgement.answer_matches_totals is True)


def combine(parts: Mapping[str, float], *, weights: Mapping[str, float]) -> Reward:
    """The weighted sum of the parts; each part needs a weight and each weight a part."""
    if parts.keys() != weights.keys():
        raise ConfigError(f"reward parts are {sorted(parts)} but weights are {sorted(weights)}; name the same parts")
    return Reward(total=sum(weights[name] * value for name, value in parts.items()), parts=dict(parts))


def _format(text: str, judgement: Judgement | ParseFailure, dialect: Dialect) -> float:
    if isinstance(judgement, ParseFailure):
        return 0.0
    if dialect == Dialect.DIRECT:
        return float("<" not in text and "\n" not in text.strip() and not judgement.reasoning)
    return float(all(text.count(tag) == 1 for tag in _TAGS) and _TAGGED_SHAPE.fullmatch(text) is not None)
