"""The moments of a stage at which a device holds the most, each as a list of what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from urt_kernels.tuning import HEIGHT_STEP, cover, one_pass
from urt_train.config import RolloutEngine, TrainConfig
from urt_train.experiment.dry_run.live_bytes import tensor_bytes
from urt_train.experiment.dry_run.measure import Measurements
from urt_train.experiment.dry_run.model import meta_policy
from urt_train.experiment.dry_run.passes import Arithmetic
from urt_train.experiment.dry_run.shape import Shape
from urt_train.experiment.dry_run.states import (
    Extra,
    States,
    Strategy,
    arithmetic_of,
    extra_of,
    num_shards,
    states_of,
    strategy_of,
)
from urt_train.experiment.dry_run.workload import Learning, Sampling
from urt_train.model.policy import Policy

LOGITS_COPIES = 6
"""Arrays of [rows, vocabulary] in float32 that `urt_core.engines.model.decoding.sample` has at once; two more where it sorts
for `top_p`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """Moment(phase="update", name="backward pass of the layers", holds={"weights": 4_400_000_000, "activations":
    16_500_000_000})"""

    phase: str
    """sampling, update or step."""
    name: str
    holds: dict[str, float]
    """Bytes by item; what is 0 is left out."""

    @property
    def total(self) -> float:
        return sum(self.holds.values())


class Stagewise:
    """Memory of one stage under the recipe's strategy: Stagewise(config, shape, "grpo",
    measurements).update(learning)"""

    def __init__(self, config: TrainConfig, shape: Shape, stage: str, measurements: Measurements) -> None:
        self.config, self.shape, self.stage, self.measurements = config, shape, stage, measurements
        self.strategy: Strategy = strategy_of(config)
        self.arithmetic: Arithmetic = arithmetic_of(config, self.strategy)
        self.has_reference = config.settings(stage).holds(num_ranks=config.dry_run.devices).has_reference

    @cached_property
    def policy(self) -> Policy:
        return meta_policy(self.config, self.shape, self.stage)

    @cached_property
    def states(self) -> States:
        return states_of(
            self.policy,
            self.strategy,
            devices=num_shards(self.config),
            arithmetic=self.arithmetic,
            has_reference=self.has_reference,
        )

    @cached_property
    def extra(self) -> Extra:
        return extra_of(
            self.policy,
            self.strategy,
            devices=num_shards(self.config),
            arithmetic=self.arithmetic,
            has_reference=self.has_reference,
        )

    @property
    def stored_bytes(self) -> int:
        """The whole model as a process reads it."""
        return sum(tensor_bytes(parameter) for parameter in self.policy.parameters())

    @property
    def served_dtype(self) -> torch.dtype:
        return getattr(torch, self.config.served_dtype)

    @property
    def served_bytes(self) -> int:
        """The whole model as it is exported and measured."""
        return sum(tensor_bytes(parameter, self.served_dtype) for parameter in self.policy.parameters())

    def update(self, learning: Learning) -> Iterator[Moment]:
        """One micro-batch while gradients of others are there already, then the optimizer's step."""
        states, extra, arithmetic = self.states, self.extra, self.arithmetic
        base = {
            "weights": states.weights,
            "reference copy": states.reference,
            "gradients": states.gradients,
            "optimizer state": states.optimizer,
        }
        prompt = learning.prompt
        pictures = self.measurements.pictures(
            self.stage, learning.pictures, per_prompt=prompt.pictures.number, is_training=True, arithmetic=arithmetic
        )
        layers = self.measurements.update(
            self.stage,
            learning.groups if learning.is_packed else learning.sequences,
            prompt=prompt.tokens,
            completions=(learning.completion,) * (learning.group if learning.is_packed else 1),
            # Rows of different length, which one row alone is not.
            is_padded=learning.sequences > 1 and self.config.model.attention != "flash_attention_2",
            arithmetic=arithmetic,
        )
        batch = {"pixels": learning.pictures / prompt.pictures.number * prompt.pictures.num_bytes}
        head = self.head_bytes(learning.sequences * learning.completion)
        gathered = {"strategy: gathered weights, buckets": extra.layers + extra.resting}
        ended = {"strategy: gathered weights, buckets": extra.end + extra.resting}
        yield Moment(
            phase="update", name="vision tower", holds=base | batch | gathered | {"activations": pictures.peak}
        )
        yield Moment(
            phase="update",
            name="loss head",
            holds=base | batch | gathered | {"activations": pictures.kept + layers.kept, "loss head": head},
        )
        yield Moment(
            phase="update",
            name="backward pass of the layers",
            holds=base | batch | gathered | {"activations": pictures.kept + layers.peak},
        )
        yield Moment(phase="update", name="end of the backward pass", holds=base | batch | ended)
        yield Moment(
            phase="step",
            name="optimizer step",
            holds=base | {"strategy: gathered weights, buckets": extra.resting, "optimizer's workspace": extra.step},
        )

    def head_bytes(self, num_tokens: int) -> float:
        """Hidden states and their gradient, the cast of the weight, its gradient in float32 and in its own type, the
        exponentials and the block of logits of one chunk of rows (`urt_kernels.one_pass`)."""
        weight: Any = self.policy.model.get_output_embeddings().weight
        vocabulary, size = weight.shape
        computing = (torch.bfloat16 if self.arithmetic.is_autocast else self.arithmetic.weights) or weight.dtype
        is_cast = self.arithmetic.is_autocast and (self.arithmetic.weights or weight.dtype) != computing
        plan = one_pass(vocabulary, computing.itemsize, trains_weight=weight.requires_grad)
        rows = min(plan.rows, cover(num_tokens, HEIGHT_STEP) * HEIGHT_STEP)
        block = rows * (vocabulary * computing.itemsize + plan.columns * 4)
        gradient = tensor_bytes(weight, torch.float32) + tensor_bytes(weight, computing) if weight.requires_grad else 0
        return 2 * num_tokens * size * computing.itemsize + is_cast * tensor_bytes(weight, computing) + gradient + block

    def sampling(self, sampling: Sampling) -> Iterator[Moment]:
        """Within training, with the optimizer's state beside it; or of a trainer that only predicts."""
        states, extra = self.states, self.extra
        base = {"weights": states.weights}
        if sampling.decoding.beside_training:
            base |= {"reference copy": states.reference, "optimizer state": states.optimizer}
            base |= {"strategy: gathered weights, buckets": extra.resting}
        engine = sampling.decoding.engine
        if engine == RolloutEngine.transformers:
            yield from self._decoding(sampling, base | {"weights made whole": extra.sampling}, self.arithmetic)
        elif engine == RolloutEngine.vllm:
            copy = self.stored_bytes / self.policy.model.dtype.itemsize * torch.bfloat16.itemsize
            copy /= sampling.decoding.devices
            cache = sampling.decoding.cache_gib * 2**30
            yield Moment(phase="sampling", name="vLLM", holds=base | {"vLLM's weights": copy, "key-value cache": cache})
        else:
            yield Moment(phase="sampling", name="vLLM servers", holds=base)

    def evaluation(self, sampling: Sampling) -> Iterator[Moment]:
        """One process, the model in the type it is exported in."""
        yield from self._decoding(sampling, {"weights": self.served_bytes}, Arithmetic(self.served_dtype, False))

    def _decoding(self, sampling: Sampling, base: dict[str, float], arithmetic: Arithmetic) -> Iterator[Moment]:
        pictures, number = sampling.prompt.pictures, sampling.prompts
        shown = self.measurements.pictures(
            self.stage,
            number * pictures.number,
            per_prompt=pictures.number,
            is_training=False,
            arithmetic=arithmetic,
        )
        generated = self.measurements.generation(
            self.stage,
            number,
            prompt=sampling.prompt.tokens,
            group_size=sampling.group,
            length=sampling.completion,
            arithmetic=arithmetic,
        )
        base = base | {"pixels": number * pictures.num_bytes}
        text = self.policy.model.config.get_text_config()
        copies = LOGITS_COPIES + (2 if sampling.decoding.top_p < 1 else 0)
        logits = number * sampling.group * text.vocab_size * torch.float32.itemsize * copies
        # A cache that grows is for a moment there twice, layer by layer.
        growing = generated.cache / text.num_hidden_layers
        yield Moment(phase="sampling", name="vision tower", holds=base | {"activations": shown.peak})
        yield Moment(
            phase="sampling",
            name="prompts",
            holds=base
            | {
                "key-value cache": generated.prompt_cache,
                "activations": shown.kept + generated.prefill_peak - generated.prompt_cache,
            },
        )
        yield Moment(
            phase="sampling",
            name="decoding",
            holds=base
            | {
                "key-value cache": generated.cache + growing,
                "activations": generated.decoding_peak - generated.cache + logits,
            },
        )
