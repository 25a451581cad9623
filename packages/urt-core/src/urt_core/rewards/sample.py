"""What a reward is told about a completion, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass

from urt_core.engines import Completion, FinishReason
from urt_core.errors import ConfigError
from urt_core.judgement import FailureKind, Judgement, ParseFailure, parse_judgement
from urt_core.prompts.prompt import Dialect
from urt_core.records import PreferenceRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardInput:
    """One completion, as it was read, and the pair it judges.

    RewardInput(completion=Completion(text="<think>...</think><answer>Image 1 is better</answer>", token_ids=(151667,
    ...)),
                record=PreferenceRecord(key="train-000017", preference=Preference.FIRST, ...), dialect=Dialect.V1,
                judgement=Judgement(verdict=Preference.FIRST, ...))
    """

    completion: Completion
    record: PreferenceRecord
    """The pair as it was shown: `first` is the candidate that the completion calls 1."""
    dialect: Dialect
    judgement: Judgement | ParseFailure
    """What the completion says in its dialect. One that was cut off at its token limit says nothing, however it
    reads."""

    @classmethod
    def read(cls, completion: Completion, record: PreferenceRecord, dialect: Dialect) -> "RewardInput":
        """Parses the completion."""
        if completion.finish_reason is FinishReason.LENGTH:
            judgement = ParseFailure.at(FailureKind.TRUNCATED, completion.text)
        else:
            judgement = parse_judgement(completion.text, task=record.task, dialect=dialect)
        return cls(completion=completion, record=record, dialect=dialect, judgement=judgement)

    @property
    def text(self) -> str:
        return self.completion.text

    @property
    def truncated(self) -> bool:
        """Whether the token limit came first."""
        return self.completion.finish_reason is FinishReason.LENGTH


@dataclass(frozen=True, kw_only=True, slots=True)
class Reward:
    """What a completion earned: Reward(total=2.0, parts={"format": 1.0, "accuracy": 1.0})."""

    total: float
    """The weighted sum of the parts; NaN where a part could not say."""
    parts: dict[str, float]
    """Each part before its weight; NaN where its reward could not say."""


def combine(parts: Mapping[str, float], *, weights: Mapping[str, float]) -> Reward:
    """The weighted sum of the parts; each part needs a weight and each weight a part."""
    if parts.keys() != weights.keys():
        raise ConfigError(f"reward parts are {sorted(parts)} but weights are {sorted(weights)}; name the same parts")
    return Reward(total=sum(weights[name] * value for name, value in parts.items()), parts=dict(parts))
