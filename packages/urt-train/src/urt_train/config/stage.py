"""Settings that every stage has, and how its rounds divide over devices. A stage's own settings live with the stage."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from urt_core.errors import ConfigError
from urt_train.config.checks import above, at_least, fail, known_tasks, within
from urt_train.config.choices import ALL_TASKS, Mean, Schedule


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundPlan:
    """How a round divides: RoundPlan(records_per_rank=16, batch_size=128, batches_per_round=1, steps_per_round=1)"""

    records_per_rank: int
    """Records that one rank draws for a round."""
    batch_size: int
    """Sequences of a micro-batch."""
    batches_per_round: int
    steps_per_round: int
    """Optimizer steps on one round."""
    tokens_per_batch: int | None = None
    """Most tokens of a micro-batch, which then holds several times `batch_size` sequences where these are short; None:
    sequences count."""

    @property
    def batches_per_step(self) -> int:
        return self.batches_per_round // self.steps_per_round


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoding:
    """What a device decodes together while a stage samples.

    Decoding(prompts=16, group=4, setting="grpo.generation_batch_size", per_setting=2.0, top_p=1.0,
    engine="transformers")
    """

    prompts: int
    group: int
    """Completions of one prompt."""
    setting: str
    """The field that decides how many prompts."""
    per_setting: float
    """Prompts for each unit of it."""
    top_p: float
    engine: str = "transformers"
    cache_gib: float = 0.0
    """Key-value cache that the engine reserves."""
    devices: int = 1
    """That share one copy of the engine's weights."""
    beside_training: bool = False
    """Whether the optimizer's state and the reference are on the device at that time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Holds:
    """What a device holds for a stage beside the policy and its optimizer: Holds(group=4, is_packed=True,
    has_reference=True)"""

    group: int = 1
    """Sequences of one prompt in a micro-batch, at most."""
    is_packed: bool = False
    """One prompt is computed once for its group."""
    has_reference: bool = False
    """A second copy of the model, which does not learn (adapters need none)."""
    decoding: Decoding | None = None


@dataclass(kw_only=True, slots=True)
class StageConfig(ABC):
    """What every stage has: an optimizer (AdamW), a schedule, a global batch, and when to save."""

    path: ClassVar[str] = "stage"
    initial: str | None = None
    """Model folder to start from; null takes the judge of the stage that comes before (the base model for the cold
    start)."""
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
    """Length of training, in steps that would read the data once, unless `max_steps` ends earlier."""
    max_steps: int | None = None
    """Most optimizer steps; null leaves it to `epochs`."""
    micro_batch_size: int = 1
    """Sequences of one forward pass on one device; accumulation follows from the global batch."""
    max_prompt_tokens: int = 8192
    """A pair with a longer prompt is left out and counted: cutting it would cut images."""
    max_completion_tokens: int = 2048
    """Longest completion; a longer trace is left out of fine-tuning, a longer rollout ends here."""
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

    @abstractmethod
    def plan(self, *, num_ranks: int) -> RoundPlan:
        """The division that these settings mean on `num_ranks` devices, or the ConfigError that says which of them
        don't fit."""

    def holds(self, *, num_ranks: int) -> Holds:
        """What a dry run counts beside the policy."""
        return Holds()

    def per_rank(self, name: str, *, num_ranks: int) -> int:
        """The share of one device in a field that counts over all of them."""
        total = getattr(self, name)
        if total % num_ranks:
            raise ConfigError(f"{self.path}.{name} is {total}; allowed: a multiple of the {num_ranks} devices")
        return total // num_ranks


@dataclass(kw_only=True, slots=True)
class FineTuningConfig(StageConfig):
    """A stage whose round is one optimizer step on texts that are there already."""

    batch_size: int = 128
    """Sequences per optimizer step, over all devices; 8 devices x 1 x accumulation 16 in the paper."""

    def __post_init__(self) -> None:
        StageConfig.__post_init__(self)
        at_least(self, 1, "batch_size")

    def plan(self, *, num_ranks: int) -> RoundPlan:
        records = self.per_rank("batch_size", num_ranks=num_ranks)
        size = min(self.micro_batch_size, records)
        return RoundPlan(
            records_per_rank=records, batch_size=size, batches_per_round=math.ceil(records / size), steps_per_round=1
        )


@dataclass(kw_only=True, slots=True)
class ImitationConfig(FineTuningConfig):
    """A stage that imitates texts: cross-entropy on their tokens."""

    mean: Mean = Mean.tokens
    """tokens (every token of the step weighs the same), or sequences (every completion does, however long): LLaVA-NeXT's
    trainer at micro-batch 1."""
