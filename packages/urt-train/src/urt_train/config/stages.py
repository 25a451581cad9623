"""Settings of the three stages. Where the paper speaks (arXiv 2505.03318 and its released scripts), the default is the paper's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from urt_core.errors import ConfigError
from urt_train.config.checks import (
    above,
    at_least,
    fail,
    known_tasks,
    no_groups,
    one_of,
    server_addresses,
    within,
)
from urt_train.config.choices import (
    ALL_TASKS,
    Batching,
    Orders,
    Ratio,
    RolloutEngine,
    Schedule,
    Surrogate,
    WeightTransfer,
)


@dataclass(kw_only=True, slots=True)
class StageConfig:
    """What every stage has: an optimizer (AdamW), a schedule, a global batch, and when to save."""

    path: ClassVar[str] = "stage"
    initial: str | None = None
    """Model folder to start from; null takes what the stage before wrote (the base model for the cold start)."""
    tasks: list[str] = field(default_factory=lambda: list(ALL_TASKS))
    """Tasks to train on."""
    learning_rate: float = 2.5e-6
    """Peak learning rate."""
    schedule: Schedule = Schedule.cosine
    """constant, linear or cosine (to `final_learning_rate`)."""
    final_learning_rate: float = 0.0
    """Where linear and cosine end, as a share of the peak."""
    warmup_ratio: float = 0.03
    """Share of the steps with a linear warm-up; the released scripts have 0.03, the paper's text 0.3."""
    weight_decay: float = 0.0
    """Decoupled weight decay, on matrices only."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    """Decay of Adam's two moments."""
    eps: float = 1e-8
    """Added to the root of Adam's second moment."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm; 0 leaves them as they are."""
    epochs: float = 3.0
    """Length of training, in steps that would read the data once, unless `max_steps` ends earlier. With `candidates_per_prompt: 2` (GRPO)
    each of them reads twice as much, so that an epoch is two passes."""
    max_steps: int | None = None
    """Most optimizer steps; null leaves it to `epochs`."""
    micro_batch_size: int = 1
    """Sequences of one forward pass on one device; accumulation follows from the global batch."""
    max_prompt_tokens: int = 8192
    """A pair with a longer prompt is left out and counted: cutting it would cut images."""
    max_completion_tokens: int = 2048
    """Longest completion; a longer trace is left out of fine-tuning, a longer rollout ends here."""
    orders: Orders = Orders.given
    """Candidate order of each pair: given, random, or (GRPO) both, half of every group each way."""
    save_every: int = 100
    """Optimizer steps between checkpoints, rounded up to a whole rollout; 0 saves only at the end and when stopped."""
    keep_checkpoints: int = 1
    """Newest checkpoints that stay on disk."""

    def __post_init__(self) -> None:
        known_tasks(self)
        above(self, 0, "learning_rate", "eps", "epochs")
        at_least(self, 0, "weight_decay", "max_grad_norm", "save_every")
        at_least(
            self, 1, "max_steps", "micro_batch_size", "max_prompt_tokens", "max_completion_tokens", "keep_checkpoints"
        )
        within(self, 0, 1, "warmup_ratio", "final_learning_rate")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            fail(self, "betas", "two numbers, each 0 or more and below 1")


@dataclass(kw_only=True, slots=True)
class ColdStartConfig(StageConfig):
    """Stage 1: learn the format from a teacher's traces (cross-entropy on the completion)."""

    path: ClassVar[str] = "cold_start"
    batch_size: int = 128
    """Sequences per optimizer step, over all devices; 8 devices x 1 x accumulation 16 in the paper."""

    def __post_init__(self) -> None:
        StageConfig.__post_init__(self)
        at_least(self, 1, "batch_size")
        no_groups(self)


@dataclass(kw_only=True, slots=True)
class RejectionSamplingConfig(StageConfig):
    """Stage 2: judge the pool, fine-tune on the right judgements, keep the pairs judged wrongly for GRPO."""

    path: ClassVar[str] = "rejection_sampling"
    batch_size: int = 128
    """Sequences per optimizer step, over all devices."""
    split: str | None = None
    """Split to judge; null takes pool where `data.pool` names its folder, else train."""
    pool_per_task: int | None = None
    """At most this many pairs of each task; null judges them all (105K in the paper)."""
    num_samples: int = 1
    """Judgements per pair (k); one source says one per pair in the paper."""
    temperature: float = 1.0
    """Sampling temperature of these judgements; never published for the paper."""
    top_p: float = 1.0
    """Smallest set of tokens with this probability is sampled from."""
    judge_batch_size: int = 32
    """Pairs judged in one engine call."""
    only_consistent: bool = False
    """Count a judgement as right only where its sums are right and its verdict follows its totals; without (the paper), half of all
    guesses count. Of a dialect with scores."""
    accept_per_pair: int = 1
    """Right judgements of one pair that enter fine-tuning, at most; different texts only."""
    hard_below: float = 1.0
    """A pair with a share of right judgements below this is hard; at 1, one wrong judgement is enough (with k = 1 the paper's rule)."""
    replay: float = 0.0
    """Cold-start traces mixed into fine-tuning, as a share of the accepted judgements."""

    def __post_init__(self) -> None:
        StageConfig.__post_init__(self)
        at_least(self, 1, "batch_size", "pool_per_task", "num_samples", "judge_batch_size", "accept_per_pair")
        above(self, 0, "temperature", "top_p", "hard_below")
        within(self, 0, 1, "top_p", "hard_below")
        at_least(self, 0, "replay")
        no_groups(self)


@dataclass(kw_only=True, slots=True)
class RewardWeights:
    """Weights of the reward parts; the paper adds format and accuracy."""

    path: ClassVar[str] = "grpo.reward_weights"
    format: float = 1.0
    """The completion has the shape of its dialect."""
    accuracy: float = 1.0
    """Its verdict is the label."""
    consistency: float = 0.0
    """Its sums are right and its verdict follows its totals."""

    def __post_init__(self) -> None:
        if not (self.format or self.accuracy or self.consistency):
            fail(
                self,
                "accuracy",
                "another number than 0 for one of format, accuracy, consistency, or there is nothing to learn",
            )


@dataclass(kw_only=True, slots=True)
class GRPOConfig(StageConfig):
    """Stage 3: group relative policy optimisation (arXiv 2402.03300) on the hard pairs with rule-based rewards."""

    path: ClassVar[str] = "grpo"
    learning_rate: float = 1e-6
    schedule: Schedule = Schedule.constant
    warmup_ratio: float = 0.0
    group_size: int = 8
    """Completions per prompt (G)."""
    prompts_per_rollout: int = 64
    """Prompts sampled with one set of weights, over all devices; 64 in the paper."""
    steps_per_rollout: int = 1
    """Optimizer steps on one rollout; 1 is on-policy, where the ratio is 1 and nothing is clipped."""
    temperature: float = 1.0
    """Sampling temperature; the trainer divides its logits by it too."""
    top_p: float = 1.0
    """Nucleus of the sampling; below 1 the trainer's log-probs are no longer those of the engine."""
    generation_batch_size: int = 32
    """Prompts of one generation call on one device; with `engine: vllm_server`, groups in flight on one server."""
    engine: RolloutEngine = RolloutEngine.transformers
    """transformers (the live weights), vllm (in each process, on its device) or vllm_server (over HTTP); the last two are handed the
    weights before each rollout."""
    vllm_cache_gib: float = 4.0
    """With `engine: vllm`, memory of its key-value cache in GiB."""
    vllm_servers: list[str] = field(default_factory=list)
    """With `engine: vllm_server`, their addresses, such as http://gpu-1:8000; an API key comes from the environment (VLLM_API_KEY)."""
    vllm_timeout_s: float = 600.0
    """With `engine: vllm_server`, the longest wait for one answer (a group of completions, or new weights) before a server counts as lost."""
    weight_transfer: WeightTransfer = WeightTransfer.folder
    """With `engine: vllm_server`, how the weights travel: folder (written once, reloaded by each server under the same path) or nccl (CUDA)."""
    reward_weights: RewardWeights = field(default_factory=RewardWeights)
    advantages: str = "grpo"
    """Baseline and scale within a group: grpo (mean, standard deviation), dr_grpo (mean) or rloo (mean of the others)."""
    normalize_parts: bool = False
    """Normalise each reward part within its group before weighting (GDPO, arXiv 2601.05242), so that an easy part does not drown a hard one."""
    advantage_eps: float = 1e-4
    """Added to the group's standard deviation."""
    aggregation: str = "grpo"
    """How token losses become one: grpo (mean of sequence means), dapo (token mean) or dr_grpo (sum over a constant length)."""
    ratio: Ratio = Ratio.token
    """token, or sequence (GSPO)."""
    surrogate: Surrogate = Surrogate.clip
    """clip (PPO) or cispo."""
    clip_low: float = 0.2
    """The ratio is clipped below 1 - clip_low; the paper gives no value, 0.2 is PPO's."""
    clip_high: float = 0.2
    """The ratio is clipped above 1 + clip_high; 0.28 is clip-higher (DAPO, arXiv 2503.14476)."""
    kl_coef: float = 0.04
    """Weight of the KL divergence to the reference policy in the loss; 0 needs no reference policy."""
    kl: str = "k3"
    """Estimator of that divergence: k1, k2 or k3."""
    mask_truncated: bool = False
    """Leave completions that hit the length limit out of the loss (DAPO's overlong filtering)."""
    overlong_share: float = 0.0
    """Last share of the length limit over which a penalty grows to `overlong_penalty` (DAPO's soft punishment); 0 is off."""
    overlong_penalty: float = 1.0
    """Reward taken from a completion at the length limit, where `overlong_share` is set."""
    resample_rounds: int = 0
    """Times a rollout draws new prompts in place of groups without reward variance (DAPO's dynamic sampling)."""
    order_baseline: Orders = Orders.both
    """With `orders: both`, the baseline: both (one over the whole group) or given (one per presentation order)."""
    pair_consistency: float = 0.0
    """With `orders: both`, extra reward for a right verdict whose partner in the other order is right too."""
    candidates_per_prompt: int = 1
    """Hard pairs drawn for each prompt of a rollout; of more than one, those are likelier taken whose group will have reward variance."""
    importance_cap: float | None = None
    """Truncate engine-to-trainer importance weights here (2.0 is usual) and recompute the rollout's log-probs; null trusts the engine's."""
    batching: Batching = Batching.shared_prefix
    """shared_prefix (the prompt once per group) or padded (the reference path)."""
    parity_every: int = 50
    """Rollouts between checks that engine and trainer agree on the log-probs of fixed prompts; the first is always checked, 0 never."""
    parity_limit: float = 1.02
    """Largest mean of exp(|difference|) that counts as agreement: 1.02 in float32, 1.05 is usual for images in bfloat16 (NeMo-RL)."""

    def __post_init__(self) -> None:
        StageConfig.__post_init__(self)
        at_least(self, 2, "group_size")
        at_least(
            self,
            1,
            "prompts_per_rollout",
            "steps_per_rollout",
            "generation_batch_size",
            "candidates_per_prompt",
            "importance_cap",
            "parity_limit",
        )
        above(self, 0, "temperature", "top_p", "advantage_eps", "vllm_cache_gib", "vllm_timeout_s")
        within(self, 0, 1, "top_p", "clip_low", "overlong_share")
        at_least(
            self, 0, "clip_high", "kl_coef", "overlong_penalty", "resample_rounds", "parity_every", "pair_consistency"
        )
        one_of(self, "advantages", ["grpo", "dr_grpo", "rloo"])
        one_of(self, "aggregation", ["grpo", "dapo", "dr_grpo"])
        one_of(self, "kl", ["k1", "k2", "k3"])
        if self.top_p < 1 and self.engine is not RolloutEngine.transformers:
            fail(
                self,
                "top_p",
                f"1.0 with grpo.engine={self.engine}, whose log-probs are those after the cut; or engine=transformers",
            )
        server_addresses(self, "vllm_servers")
        if self.engine is RolloutEngine.vllm_server and not self.vllm_servers:
            fail(
                self,
                "vllm_servers",
                "one or more addresses with grpo.engine=vllm_server, such as [http://localhost:8000]",
            )
        if self.prompts_per_rollout % self.steps_per_rollout:
            raise ConfigError(
                f"grpo.steps_per_rollout is {self.steps_per_rollout}; allowed: a divisor of grpo.prompts_per_rollout"
                f" ({self.prompts_per_rollout})"
            )
        if self.orders is Orders.both and self.group_size % 2:
            raise ConfigError(f"grpo.group_size is {self.group_size}; allowed with grpo.orders=both: an even number")
