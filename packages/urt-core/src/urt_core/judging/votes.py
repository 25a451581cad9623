"""How judgements of one question are sampled: greedy where there is one, apart where there are several."""

from dataclasses import replace

from urt_core.engines import SamplingParams
from urt_core.errors import ConfigError


def default_sampling(votes: int, *, max_tokens: int | None = None) -> SamplingParams:
    """Greedy; but several votes have to differ."""
    sampling = SamplingParams(temperature=0.0 if votes == 1 else 0.7)
    return sampling if max_tokens is None else replace(sampling, max_tokens=max_tokens)


def with_votes(sampling: SamplingParams, votes: int | None) -> SamplingParams:
    if votes is None:
        return sampling
    if votes < 1 or (votes > 1 and sampling.temperature == 0):
        raise ConfigError(
            f"votes is {votes} at temperature {sampling.temperature}; votes must be at least 1, and more than one needs "
            "Scorer(sampling=SamplingParams(temperature=0.7)): greedy completions would all be the same"
        )
    return replace(sampling, num_completions=votes)
