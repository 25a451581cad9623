"""Settings of rejection sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from urt_train.config.checks import above, at_least, no_groups, one_of, within
from urt_train.config.choices import Orders
from urt_train.config.engine import ENGINES, EngineSettings
from urt_train.config.stage import Decoding, Holds, ImitationConfig

POOL = "pool|train"
"""Split that is judged where none is named: without a pool of its own, a run judges the pairs that the teacher's are
taken from."""


@dataclass(kw_only=True, slots=True)
class RejectionSamplingConfig(ImitationConfig, EngineSettings):
    """Stage 2: judge the pool, fine-tune on the right judgements, keep the pairs judged wrongly for GRPO."""

    path: ClassVar[str] = "rejection_sampling"
    orders: Orders = Orders.given
    """Candidate order in which each pair of the pool is judged: given, or random (drawn by its key)."""
    split: str | None = None
    """Split to judge; null takes pool where the recipe has one (`data.pool`, `data.counts.pool`), else train."""
    pool_per_task: int | None = None
    """At most this many pairs of each task; null judges them all (105K in the paper)."""
    num_samples: int = 1
    """Judgements per pair (k); one source says one per pair in the paper."""
    temperature: float = 1.0
    """Sampling temperature of these judgements; never published for the paper."""
    top_p: float = 1.0
    """Smallest set of tokens with this probability is sampled from."""
    engine: str = "transformers"
    """What judges the pool: transformers (on the devices and under the strategy of the run), vllm (on the device of each process),
    vllm_server (servers of `vllm serve <the model that the stage starts from>`), or openai (any endpoint that serves it)."""
    judge_batch_size: int = 32
    """Pairs judged in one call of the transformers engine; vLLM and endpoints take them one by one, many at a time."""
    only_consistent: bool = False
    """Count a judgement as right only where its sums are right and its verdict follows its totals; without (the paper),
    half of all guesses count. Of a dialect with scores."""
    accept_per_pair: int = 1
    """Right judgements of one pair that enter fine-tuning, at most; different texts only."""
    hard_below: float = 1.0
    """A pair with a share of right judgements below this is hard; at 1, one wrong judgement is enough (with k = 1 the
    paper's rule)."""
    replay: float = 0.0
    """Cold-start traces mixed into fine-tuning, as a share of the accepted judgements."""

    def __post_init__(self) -> None:
        ImitationConfig.__post_init__(self)
        at_least(self, 1, "pool_per_task", "num_samples", "judge_batch_size", "accept_per_pair")
        above(self, 0, "temperature", "top_p", "hard_below")
        within(self, 0, 1, "top_p", "hard_below")
        at_least(self, 0, "replay")
        no_groups(self)
        one_of(self, "engine", list(ENGINES))
        self.check_engine("engine")

    def holds(self, *, num_ranks: int) -> Holds:
        return Holds(
            decoding=Decoding(
                prompts=self.judge_batch_size,
                group=self.num_samples,
                setting="rejection_sampling.judge_batch_size",
                per_setting=1,
                top_p=self.top_p,
            )
        )
