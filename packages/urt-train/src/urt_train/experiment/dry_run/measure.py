"""How much memory the computation itself takes: the recipe's own model and attention, run on fake tensors.

A fake tensor (torch's FakeTensorMode) has a size and a type and no values, so a micro-batch of an 8 B model costs a
second and no memory, and autograd saves for its backward pass what it would save of real ones; `LiveBytes` counts.
Nothing of a transformer layer is left to a formula (such as Korthikanti et al., arXiv 2205.05198, equations 2 to 4), of
which every attention, norm and adapter would need its own.

Two things make it cheap (tests compare them with the whole): layers repeat, so few of them and one block more say what
any number takes, exactly; and what is needed grows with the number of rows, so one row says what many take, within a
per cent above.

A GPU differs in its kernels' workspaces and in what autocast leaves in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode

from urt_train.config import Batching, TrainConfig
from urt_train.experiment.dry_run.lengths import encode_pictures
from urt_train.experiment.dry_run.model import meta_policy
from urt_train.experiment.dry_run.passes import (
    Arithmetic,
    Generated,
    Needed,
    forward_and_backward,
    generate,
    make_fake,
    show,
)
from urt_train.experiment.dry_run.shape import Shape
from urt_train.model.packed.packing import Group
from urt_train.model.policy import Policy


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurements:
    """Measurements(config=config, shape=shape).update("grpo", 2, prompt=4557, completions=(2048,) * 4,
    arithmetic=...)"""

    config: TrainConfig
    shape: Shape
    known: dict[Any, Any] = field(default_factory=dict)
    """What was measured already."""

    def update(
        self,
        stage: str,
        number: int,
        *,
        prompt: int,
        completions: tuple[int, ...],
        is_padded: bool,
        arithmetic: Arithmetic,
    ) -> Needed:
        """Forward and backward pass of the decoder over `number` groups, packed in a row, or over as many rows of one
        completion each."""

        def measure(policy: Policy, number: int) -> Needed:
            if policy.batching is Batching.shared_prefix:
                groups = [Group(prompt, tuple(length - 1 for length in completions))] * number
                return forward_and_backward(policy, groups=groups, arithmetic=arithmetic)
            (completion,) = completions
            shape = number, prompt + completion - 1
            return forward_and_backward(policy, rows=shape, is_padded=is_padded, arithmetic=arithmetic)

        batching = getattr(self.config.settings(stage), "batching", Batching.padded)
        return self._extended(("update", prompt, completions, is_padded, batching), stage, number, arithmetic, measure)

    def generation(
        self, stage: str, number: int, *, prompt: int, group_size: int, length: int, arithmetic: Arithmetic
    ) -> Generated:
        """Prefill of `number` prompts, and the last step of decoding `group_size` completions of `length` tokens for
        each."""

        def measure(policy: Policy, number: int) -> Generated:
            return generate(policy, number, prompt, group_size, length, arithmetic=arithmetic)

        return self._extended(("generation", prompt, group_size, length), stage, number, arithmetic, measure)

    def pictures(
        self, stage: str, number: int, *, per_prompt: int, is_training: bool, arithmetic: Arithmetic
    ) -> Needed:
        """The vision tower over `number` images that stand in prompts of `per_prompt`. Qwen-VL shows an image the same
        way alone."""
        is_training = is_training and self._vision_has_gradients(stage)
        few = 1 if per_prompt == 1 or hasattr(self.shape.config().vision_config, "spatial_merge_size") else 2
        key = ("pictures", few, is_training, arithmetic)
        if key not in self.known:
            self.known[key] = self._few_pictures(stage, few, is_training=is_training, arithmetic=arithmetic)
        return Needed(*(value * number / few for value in self.known[key]))

    def _vision_has_gradients(self, stage: str) -> bool:
        """Where it learns, or where transformers' gradient checkpointing lets its embedded patches require
        gradients."""
        if "vision" not in self.known:
            base: Any = meta_policy(self.config, self.shape, stage, num_layers=1).model.model
            tower: Any = getattr(base, "visual", None) or base.vision_tower
            hooked = any(module._forward_hooks for module in tower.modules())
            self.known["vision"] = hooked or any(parameter.requires_grad for parameter in tower.parameters())
        return self.known["vision"]

    def _few_pictures(self, stage: str, number: int, *, is_training: bool, arithmetic: Arithmetic) -> Needed:
        policy = self._fake(stage, 1, arithmetic, of=lambda model: model)
        images = encode_pictures(self.config, self.shape, number).tensors
        return show(policy.train(is_training), images, is_training=is_training, arithmetic=arithmetic)

    def _extended(
        self, key: Any, stage: str, number: int, arithmetic: Arithmetic, measure: Callable[[Policy, int], Any]
    ) -> Any:
        """Of all layers and `number` rows, from few of them."""
        key = (*key, arithmetic)
        if key not in self.known:
            self.known[key] = self._all_layers(stage, arithmetic, lambda policy: measure(policy, 1))
        one = self.known[key]
        if number == 1:
            return one
        if not self._keeps_casts(arithmetic):
            return type(one)(*(value * number for value in one))
        if (two := self.known.get((*key, 2))) is None:
            two = self.known[(*key, 2)] = self._all_layers(stage, arithmetic, lambda policy: measure(policy, 2))
        return type(one)(*(a + (number - 1) * (b - a) for a, b in zip(one, two, strict=True)))

    def _keeps_casts(self, arithmetic: Arithmetic) -> bool:
        """Whether autocast keeps casts of weights, of which there is one for any number of rows."""
        model = self.config.model
        return (
            arithmetic.is_autocast and arithmetic.weights is None and (model.dtype == "float32" or model.lora.rank > 0)
        )

    def _all_layers(self, stage: str, arithmetic: Arithmetic, measure: Callable[[Policy], Any]) -> Any:
        text = self.shape.config().get_text_config()
        block = _block(getattr(text, "layer_types", None) or ["full_attention"])
        few, all_layers = max(2, block), text.num_hidden_layers  # a single layer is the first and the last
        if all_layers <= few + block:
            return measure(self._fake(stage, all_layers, arithmetic))
        first, second = (measure(self._fake(stage, number, arithmetic)) for number in (few, few + block))
        more = (all_layers - few) / block
        return type(first)(*(a + more * (b - a) for a, b in zip(first, second, strict=True)))

    def _fake(
        self,
        stage: str,
        num_layers: int,
        arithmetic: Arithmetic,
        *,
        of: Callable[[Any], Any] = lambda model: model.get_decoder(),
    ) -> Policy:
        policy = meta_policy(self.config, self.shape, stage, num_layers=num_layers)
        with FakeTensorMode(allow_non_fake_inputs=True):
            make_fake(of(policy.model), dtype=arithmetic.weights)
        return policy


def _block(kinds: list[str]) -> int:
    """Layers after which the kinds of layers repeat."""
    sizes = range(1, len(kinds) + 1)
    return next(size for size in sizes if len(kinds) % size == 0 and kinds == kinds[:size] * (len(kinds) // size))
