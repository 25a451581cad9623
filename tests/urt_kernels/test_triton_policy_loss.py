"""The Triton kernel of grpo_loss against the reference."""

import itertools
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from urt_kernels import grpo_loss


def normal(*shape: int, scale: float = 1.5) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) * scale


CASES = [
    {"ratio": ratio, "aggregation": aggregation, "kl": kl, "dual_clip": dual_clip, "old": old, "per_token": per_token}
    for index, (ratio, aggregation, kl, dual_clip, old, per_token) in enumerate(
        itertools.product(
            ("token", "sequence"),
            ("grpo", "dapo", "dr_grpo"),
            ("k1", "k2", "k3"),
            (None, 1.5),
            (False, True),
            (False, True),
        )
    )
    # One case in seven meets every pair of values; all of them take minutes in the interpreter.
    if index % 7 == 0
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(value) for value in case.values()))
def test_equals_the_reference(device, case: dict[str, Any], monkeypatch):
    monkeypatch.setattr(import_module("urt_kernels.policy_loss.triton"), "BLOCK", 16)
    case = dict(case)
    old, per_token = case.pop("old"), case.pop("per_token")
    policy, rollout, old_logprobs, reference = normal(4, 3, 40).to(device)
    mask = torch.rand(3, 40, generator=torch.Generator().manual_seed(0)).to(device) > 0.3
    mask[1] = False
    # Padding may hold anything.
    policy = policy.masked_fill(~mask, torch.nan)
    advantages = normal(3, 40).to(device) if per_token else normal(3).to(device)
    outcomes = []
    for impl in ("triton", "reference"):
        leaf = policy.detach().requires_grad_()
        result = grpo_loss(
            leaf,
            rollout,
            advantages,
            mask,
            reference_logprobs=reference,
            old_logprobs=old_logprobs if old else None,
            clip_high=0.3,
            kl_coef=0.1,
            impl=impl,
            **case,
        )
        outcomes.append((*result, *torch.autograd.grad(result.loss * 2.0, leaf)))
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (1, 1), (3, 2000)])
@pytest.mark.parametrize("num_sequences", [None, 7])
def test_any_shape(device, shape, num_sequences):
    policy, rollout = normal(2, *shape).to(device)
    outcomes = [
        grpo_loss(policy, rollout, normal(shape[0]).to(device), policy > -3, num_sequences=num_sequences, impl=impl)
        for impl in ("triton", "reference")
    ]
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_two_calls_give_the_same_bits(device):
    policy, rollout = normal(2, 5, 300).to(device)
    arguments = (policy, rollout, normal(5).to(device), policy > -2)
    first, second = (grpo_loss(*arguments, impl="triton") for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
