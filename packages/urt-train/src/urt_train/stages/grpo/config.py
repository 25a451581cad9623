"""Settings of GRPO."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from urt_core.errors import ConfigError
from urt_core.rewards import Rewards
from urt_train.config.checks import above, at_least, fail, one_of, server_addresses, within
from urt_train.config.choices import Batching, Orders, Ratio, RolloutEngine, Schedule, WeightTransfer
from urt_train.config.stage import Decoding, Holds, RoundPlan, StageConfig


@dataclass(kw_only=True, slots=True)
class GRPOConfig(StageConfig):
    """Stage 3: group relative policy optimisation (arXiv 2402.03300) on the hard pairs with rule-based rewards."""

    path: ClassVar[str] = "grpo"
    orders: Orders = Orders.given
    """Candidate order of each pair: given, random (drawn by rollout and key), or both, half of every group each way."""
    learning_rate: float = 1e-6
    schedule: Schedule = Schedule.constant
    warmup_ratio: float = 0.0
    group_size: int = 8
    """Completions per prompt (G)."""
    prompts_per_rollout: int = 64
    """Prompts sampled with one set of weights, over all devices; 64 in the paper."""
    micro_batch_tokens: int | None = None
    """Most tokens of a forward pass: groups, or parts of `micro_batch_size` completions, are packed up to it and shared
    out over the devices so that all are equally busy; what is longer by itself goes by itself. null: micro-batches of
    `micro_batch_size` completions, in drawn order."""
    steps_per_rollout: int = 1
    """Optimizer steps on one rollout; 1 is on-policy, where the ratio is 1 and nothing is clipped."""
    temperature: float = 1.0
    """Sampling temperature; the trainer divides its logits by it too."""
    top_p: float = 1.0
    """Nucleus of the sampling; below 1 the trainer's log-probs are no longer those of the engine."""
    generation_batch_size: int = 32
    """Prompts of one generation call on one device; with `engine: vllm_server`, groups in flight on one server."""
    engine: RolloutEngine = RolloutEngine.transformers
    """transformers (the live weights), vllm (in each process, on its device) or vllm_server (over HTTP); the last two
    are handed the weights before each rollout."""
    vllm_cache_gib: float = 4.0
    """With `engine: vllm`, memory of its key-value cache in GiB."""
    vllm_tensor_parallel: int = 1
    """With `engine: vllm`, neighbouring devices that share one copy of the weights and sample for all of them."""
    vllm_servers: list[str] = field(default_factory=list)
    """With `engine: vllm_server`, their addresses, such as http://gpu-1:8000; an API key comes from the environment
    (VLLM_API_KEY)."""
    vllm_timeout_s: float = 600.0
    """With `engine: vllm_server`, the longest wait for one answer (a group of completions, or new weights) before a
    server counts as lost."""
    staleness: int = 0
    """Rollouts by which the weights that sample may be behind those that learn: 0, or 1 with `engine: vllm_server`, whose
    servers then sample the next rollout while the policy learns from the last. Needs `importance_cap`."""
    weight_transfer: WeightTransfer = WeightTransfer.folder
    """With `engine: vllm_server`, how the weights travel: folder (written once, reloaded by each server under the same
    path) or nccl (CUDA)."""
    rewards: dict[str, float] = field(default_factory=lambda: {"format": 1.0, "accuracy": 1.0})
    """Rewards and their weights, by built-in name (format, accuracy, consistency, confidence) or import path
    (my_package.rewards:length); the paper adds format and accuracy."""
    reasoning_floor: bool = False
    """Take every reward above 0 from a completion that does not score both candidates in each core dimension; without
    (the paper), an empty reasoning in front of the right verdict earns all there is."""
    advantages: str = "grpo"
    """Baseline and scale within a group: grpo (mean, standard deviation), dr_grpo (mean) or rloo (mean of the
    others)."""
    normalize_parts: bool = False
    """Normalise each reward part within its group before weighting (GDPO, arXiv 2601.05242), so that an easy part does
    not drown a hard one."""
    advantage_eps: float = 1e-4
    """Added to the group's standard deviation."""
    aggregation: str = "grpo"
    """How token losses become one: grpo (mean of sequence means), dapo (token mean) or dr_grpo (sum over a constant
    length)."""
    ratio: Ratio = Ratio.token
    """token, or sequence (GSPO)."""
    surrogate: str = "clip"
    """clip (PPO), cispo, or a function of `urt_kernels.SurrogateInputs` by its import path `package.module:name` or
    entry point (group `urt.surrogates`)."""
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
    """Last share of the length limit over which a penalty grows to `overlong_penalty` (DAPO's soft punishment); 0 is
    off."""
    overlong_penalty: float = 1.0
    """Reward taken from a completion at the length limit, where `overlong_share` is set."""
    resample_rounds: int = 0
    """Times a rollout draws new prompts in place of groups without reward variance (DAPO's dynamic sampling)."""
    order_baseline: Orders = Orders.both
    """With `orders: both`, the baseline: both (one over the whole group) or given (one per presentation order)."""
    pair_consistency: float = 0.0
    """With `orders: both`, extra reward for a right verdict whose partner in the other order is right too."""
    candidates_per_prompt: int = 1
    """Hard pairs drawn for each prompt of a rollout; of more than one, those are likelier taken whose group will have
    reward variance."""
    importance_cap: float | None = None
    """Truncate engine-to-trainer importance weights here (2.0 is usual) and recompute the rollout's log-probs; null
    trusts the engine's."""
    batching: Batching = Batching.shared_prefix
    """shared_prefix (the prompt once per group) or padded (the reference path)."""
    parity_every: int = 50
    """Rollouts between checks that engine and trainer agree on the log-probs of fixed prompts; the first is always
    checked, 0 never."""
    parity_limit: float = 1.02
    """Largest mean of exp(|difference|) that counts as agreement: 1.02 in float32, 1.05 is usual for images in bfloat16
    (NeMo-RL)."""

    def __post_init__(self) -> None:
        StageConfig.__post_init__(self)
        at_least(self, 2, "group_size")
        at_least(
            self,
            1,
            "prompts_per_rollout",
            "vllm_tensor_parallel",
            "steps_per_rollout",
            "generation_batch_size",
            "candidates_per_prompt",
            "importance_cap",
            "parity_limit",
            "micro_batch_tokens",
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
        if self.vllm_tensor_parallel > 1 and self.engine is not RolloutEngine.vllm:
            fail(self, "vllm_tensor_parallel", f"1 with grpo.engine={self.engine}; servers are started with their own")
        server_addresses(self, "vllm_servers")
        if self.engine is RolloutEngine.vllm_server and not self.vllm_servers:
            fail(
                self,
                "vllm_servers",
                "one or more addresses with grpo.engine=vllm_server, such as [http://localhost:8000]",
            )
        self._check_staleness()
        if self.order_baseline is Orders.random:
            fail(self, "order_baseline", "both, given")
        Rewards.load(self.rewards)  # names what is not a reward
        if self.pair_consistency and "accuracy" not in self.rewards:
            fail(self, "pair_consistency", "0 where grpo.rewards has no accuracy, which it looks at in both orders")
        if not any(self.rewards.values()):
            fail(self, "rewards", "another weight than 0 for one of them, or there is nothing to learn")
        if self.prompts_per_rollout % self.steps_per_rollout:
            raise ConfigError(
                f"grpo.steps_per_rollout is {self.steps_per_rollout}; allowed: a divisor of grpo.prompts_per_rollout"
                f" ({self.prompts_per_rollout})"
            )
        if self.orders is Orders.both and self.group_size % 2:
            raise ConfigError(f"grpo.group_size is {self.group_size}; allowed with grpo.orders=both: an even number")

    def _check_staleness(self) -> None:
        within(self, 0, 1, "staleness")
        if self.staleness and (self.engine is not RolloutEngine.vllm_server or self.importance_cap is None):
            fail(
                self,
                "staleness",
                "0, or with engine=vllm_server and grpo.importance_cap set, which weighs what older weights have sampled",
            )
        if self.staleness and self.resample_rounds:
            fail(self, "staleness", "0 with grpo.resample_rounds, which draws anew until groups differ")

    @property
    def recomputes_logprobs(self) -> bool:
        """Whether the trainer's own log-probs of a rollout are needed, beside those of the engine that sampled it."""
        return self.importance_cap is not None

    @property
    def prompts_per_group(self) -> int:
        """A group shown in both orders is two prompts with half of its completions each."""
        return 2 if self.orders is Orders.both else 1

    def plan(self, *, num_ranks: int) -> RoundPlan:
        """A round is a rollout."""
        records = self.per_rank("prompts_per_rollout", num_ranks=num_ranks)
        prompts, group = records * self.prompts_per_group, self.group_size // self.prompts_per_group
        steps = self.steps_per_rollout
        if prompts % steps:
            raise ConfigError(
                f"grpo.steps_per_rollout is {steps}; allowed: a divisor of the {prompts} prompts that each of {num_ranks} devices has"
            )
        size = self.micro_batch_size
        if size % group and group % size:
            fail(self, "micro_batch_size", f"a multiple or a divisor of the group of {group} completions")
        if self.micro_batch_tokens is not None:
            size = min(size, group)  # the least that a micro-batch holds, so that there are enough of them
        if size >= group:
            prompts_per_batch = min(size // group, prompts // steps)
            size, batches_per_step = prompts_per_batch * group, math.ceil(prompts // steps / prompts_per_batch)
        else:
            batches_per_step = prompts // steps * (group // size)
        if (prompts // steps) % max(1, size // group):
            fail(
                self,
                "micro_batch_size",
                f"as many groups as divide the {prompts // steps} prompts of an optimizer step on one device",
            )
        return RoundPlan(
            records_per_rank=records,
            batch_size=size,
            batches_per_round=batches_per_step * steps,
            steps_per_round=steps,
            tokens_per_batch=self.micro_batch_tokens,
        )

    def holds(self, *, num_ranks: int) -> Holds:
        group = self.group_size // self.prompts_per_group
        records = self.plan(num_ranks=num_ranks).records_per_rank
        return Holds(
            group=group,
            is_packed=self.batching is Batching.shared_prefix,
            has_reference=self.kl_coef > 0,
            decoding=Decoding(
                prompts=self.prompts_per_group * min(self.generation_batch_size, records),
                group=group,
                setting="grpo.generation_batch_size",
                per_setting=self.prompts_per_group,
                top_p=self.top_p,
                engine=self.engine.value,
                cache_gib=self.vllm_cache_gib,
                devices=self.vllm_tensor_parallel,
                beside_training=True,
            ),
        )
