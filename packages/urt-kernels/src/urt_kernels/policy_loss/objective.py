"""Value and slopes of the objective on some tokens of the batch: what grpo_loss and the one-pass head have in
common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from urt_kernels.policy_loss.settings import GRPOSettings
from urt_kernels.surrogates import SurrogateInputs, clamped_exp, clipped, kl_estimate, surrogate_function


class Tokens(NamedTuple):
    """The constants of n tokens, ``[n]`` each, padding left out.

    >>> Tokens(old=old, rollout=None, reference=None, advantages=advantages, weights=torch.full((3,), 1 / 3),
    ...        sequences=torch.tensor([0, 0, 1]), num_sequences=2, rows=torch.tensor([0, 1, 4]))
    """

    old: Tensor | None
    rollout: Tensor | None
    reference: Tensor | None
    advantages: Tensor | None
    weights: Tensor
    """What each token's value is multiplied by in the loss."""
    sequences: Tensor
    num_sequences: int
    rows: Tensor

    def part(self, rows: slice, *, first_sequence: int, num_sequences: int) -> Tokens:
        """The tokens ``rows``, whose sequences are ``first_sequence`` and the ones behind it."""

        def cut(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[rows]

        return Tokens(
            old=cut(self.old),
            rollout=cut(self.rollout),
            reference=cut(self.reference),
            advantages=cut(self.advantages),
            weights=self.weights[rows],
            sequences=self.sequences[rows] - first_sequence,
            num_sequences=num_sequences,
            rows=self.rows[rows],
        )

    def finite(self) -> Tensor:
        """Which tokens take part: a NaN or inf log-prob of an engine costs that token, never its neighbours."""
        live = torch.ones_like(self.weights, dtype=torch.bool)
        for constants in (self.old, self.rollout, self.reference):
            if constants is not None:
                live &= constants.isfinite()
        return live


class Slopes(NamedTuple):
    """The loss of some tokens and its derivatives.

    >>> Slopes(loss=torch.tensor(0.1), policy=torch.tensor([-0.5, 0.2]), entropy=None)
    """

    loss: Tensor
    policy: Tensor
    """By the policy log-prob of each token."""
    entropy: Tensor | None
    """By the entropy of each token; None where the objective does not read it."""


def slopes(
    policy: Tensor,
    entropy: Tensor | None,
    tokens: Tokens,
    settings: GRPOSettings,
    *,
    differentiate: bool = True,
) -> Slopes:
    """sum_t weight_t (surrogate_t + kl_coef KL_t - entropy_coef H_t), differentiated by autograd."""
    live = tokens.finite()
    if not differentiate:
        return Slopes(_loss(policy, entropy, tokens, settings, live), torch.zeros_like(policy), None)
    with differentiating():
        leaves = [each.detach().requires_grad_() for each in (policy, entropy) if each is not None]
        loss = _loss(leaves[0], leaves[1] if len(leaves) > 1 else None, tokens, settings, live)
        if not loss.requires_grad:
            return Slopes(loss.detach(), torch.zeros_like(policy), None)
        found = torch.autograd.grad(loss, leaves, allow_unused=True)
    by_policy = torch.zeros_like(policy) if found[0] is None else found[0]
    return Slopes(loss.detach(), by_policy, found[1] if len(found) > 1 else None)


def _loss(policy: Tensor, entropy: Tensor | None, tokens: Tokens, settings: GRPOSettings, live: Tensor) -> Tensor:
    inputs = surrogate_inputs(policy, entropy, tokens, settings, live)
    values = surrogate_function(settings.surrogate)(inputs)
    if values.shape != policy.shape:
        raise ValueError(
            f"surrogate={settings.surrogate!r} returned shape {list(values.shape)}: it must be {list(policy.shape)},"
            " one value per token."
        )
    if inputs.reference_logprobs is not None and settings.kl_coef > 0:
        difference = inputs.reference_logprobs - inputs.policy_logprobs
        values = values + settings.kl_coef * kl_estimate(difference, kl=settings.kl, kl_clamp=settings.kl_clamp)
    if settings.entropy_coef > 0:
        values = values - settings.entropy_coef * inputs.needed("entropy")
    return (values * torch.where(live, tokens.weights, 0.0)).sum()


def surrogate_inputs(
    policy: Tensor, entropy: Tensor | None, tokens: Tokens, settings: GRPOSettings, live: Tensor
) -> SurrogateInputs:
    """Zeros stand for everything that a token holds whose old, rollout or reference log-prob is not finite."""

    def kept(values: Tensor | None) -> Tensor | None:
        return None if values is None else torch.where(live, values.to(policy.dtype), 0.0)

    return SurrogateInputs(
        policy_logprobs=torch.where(live, policy, 0.0),
        entropy=kept(entropy),
        old_logprobs=kept(tokens.old),
        rollout_logprobs=kept(tokens.rollout),
        reference_logprobs=kept(tokens.reference),
        advantages=kept(tokens.advantages),
        sequences=tokens.sequences,
        num_sequences=tokens.num_sequences,
        rows=tokens.rows,
        **settings.of_surrogate(),
    )


def metrics(policy: Tensor, entropy: Tensor | None, tokens: Tokens, settings: GRPOSettings) -> Tensor:
    """The sums of GRPOLoss behind its loss, in their order."""
    live = tokens.finite()
    inputs = surrogate_inputs(policy, entropy, tokens, settings, live)
    log_ratios, advantages = inputs.policy_logprobs - inputs.needed("old_logprobs"), inputs.needed("advantages")
    ratio = clamped_exp(inputs.log_ratios())
    kept = torch.where(live, ratio, 0.0)
    importance = inputs.importance() * live
    kl = torch.zeros_like(ratio)
    if inputs.reference_logprobs is not None:
        difference = inputs.reference_logprobs - inputs.policy_logprobs
        kl = kl_estimate(difference, kl=settings.kl, kl_clamp=settings.kl_clamp)
    sums = [
        ratio.new_tensor(float(len(ratio))),
        (inputs.sequence_sums(torch.ones_like(ratio)) > 0).sum(),
        torch.where(live, surrogate_function(settings.surrogate)(inputs), 0.0),
        kl,
        kept,
        kept.amax() if len(kept) else kept,
        log_ratios,
        *clipped(ratio, advantages, inputs),
        importance,
        inputs.capped() & live,
        ~live,
    ]
    return torch.stack([value.sum().to(policy.dtype) for value in sums])


# What an op's implementation runs without: the keys that record operations for the backward pass.
_RECORDING = (
    "AutogradFunctionality",
    "AutogradOther",
    "AutogradNestedTensor",
    "AutogradCPU",
    "AutogradCUDA",
    "ADInplaceOrView",
)


@contextmanager
def differentiating() -> Iterator[None]:
    """Autograd inside of an op's implementation, where the dispatcher has switched it off; autocast stays off."""
    excluded = torch._C._dispatch_tls_local_exclude_set()
    for name in _RECORDING:
        if (key := getattr(torch._C.DispatchKey, name, None)) is not None:
            excluded = excluded.remove(key)
    included = torch._C._dispatch_tls_local_include_set()
    with torch._C._ForceDispatchKeyGuard(included, excluded), torch.enable_grad():
        yield
