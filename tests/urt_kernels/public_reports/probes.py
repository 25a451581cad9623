"""Probes of our own: settings, types and shapes that were once read otherwise than they were meant."""

from functools import partial
from importlib import import_module
from typing import Any

import pytest
import torch

import urt_kernels as kernels
from tests.urt_kernels.public_reports.cases import PROBES, batch, case, head, near, normal, right


@case(PROBES, forward=False, backward=True)
def under_autocast(backward: bool, impl: Any, device: str) -> None:
    """The bits of a call outside of autocast, forward and backward."""
    outcomes = []
    for enabled in (False, True):
        arguments = batch(device)
        leaves = [arguments["hidden"], arguments["weight"]]
        with torch.autocast(device, dtype=torch.bfloat16, enabled=enabled):
            found = kernels.linear_token_logprobs(
                leaves[0], leaves[1], arguments["targets"], temperature=1.0, impl=impl
            ).logprobs
            loss = kernels.linear_grpo_loss(**arguments, temperature=1.0, impl=impl).loss
            values = [found, loss]
            if backward:
                values = [*torch.autograd.grad(found.sum(), leaves), *torch.autograd.grad(loss, leaves)]
        outcomes.append(values)
    for ours, theirs in zip(*outcomes, strict=True):
        assert torch.equal(ours, theirs)


@case(PROBES)
def a_divisor_below_one(impl: Any, device: str) -> None:
    policy, ones = torch.zeros(2, 3, device=device), torch.ones(2, 3, device=device)
    run = partial(kernels.grpo_loss, policy, policy - 0.1, ones[:, 0], ones, aggregation="dapo", impl=impl)
    near(run(num_tokens=0.5).loss, 2.0 * run(num_tokens=1.0).loss.cpu(), 1e-5)
    with pytest.raises(ValueError, match="num_tokens=0 with 6 tokens"):
        run(num_tokens=0)


@case(PROBES)
def a_mask_of_fractions(impl: Any, device: str) -> None:
    policy, ones = torch.zeros(2, 3, device=device), torch.ones(2, 3, device=device)
    with pytest.raises(ValueError, match=r"completion_mask holds 0\.5: it must be boolean, or 0 and 1"):
        kernels.grpo_loss(policy, policy, ones[:, 0], 0.5 * ones, impl=impl)


@case(PROBES)
def a_reward_of_infinity(impl: Any, device: str) -> None:
    rewards = torch.tensor([1.0, torch.inf, 0.0, 0.0], device=device)
    missing = torch.tensor([1.0, torch.nan, 0.0, 0.0], device=device)
    found, expected = (
        kernels.group_advantages(each, group_size=4, impl=impl).advantages for each in (rewards, missing)
    )
    assert torch.equal(found, expected)
    near(found, torch.tensor([1.1545, 0.0, -0.5773, -0.5773]), 3e-4)


@case(PROBES)
def a_folder_hidden_by_a_function(impl: Any, device: str) -> None:
    for folder in ("advantages", "linear_logprobs", "logprobs", "one_pass", "policy_loss"):
        assert import_module(f"urt_kernels.{folder}.{impl}").__name__ == f"urt_kernels.{folder}.{impl}"


@case(PROBES)
def a_temperature_for_each_token(impl: Any, device: str) -> None:
    hidden, weight, targets = head(device)
    temperature = torch.linspace(0.5, 1.5, 6, device=device)
    found = kernels.linear_token_logprobs(hidden, weight, targets, temperature=temperature, impl=impl).logprobs
    near(found, right((hidden.double() @ weight.double().T) / temperature.double()[:, None], targets)[0], 1e-5)


@case(PROBES)
def a_vocabulary_that_eight_does_not_divide(impl: Any, device: str) -> None:
    hidden, weight, targets = head(device, vocabulary=257)
    leaves, exact = (
        [each.to(kind).requires_grad_() for each in (hidden, weight)] for kind in (torch.float32, torch.float64)
    )
    loss = kernels.linear_loss(
        leaves[0][None], leaves[1], targets[None], surrogate="nll", temperature=1.0, impl=impl
    ).loss
    expected = -(exact[0] @ exact[1].T).log_softmax(-1).gather(-1, targets[:, None]).mean()
    near(loss, expected, 1e-5)
    for ours, theirs in zip(torch.autograd.grad(loss, leaves), torch.autograd.grad(expected, exact), strict=True):
        near(ours, theirs, 1e-5)


@case(PROBES)
def targets_of_32_bits_that_are_not_aligned(impl: Any, device: str) -> None:
    hidden, weight, targets = head(device)
    found = kernels.linear_token_logprobs(
        hidden[1:], weight, targets.to(torch.int32)[1:], temperature=1.0, impl=impl
    ).logprobs
    near(found, right(hidden.double() @ weight.double().T, targets)[0][1:], 1e-5)


@case(PROBES)
def targets_out_of_range(impl: Any, device: str) -> None:
    hidden, weight, targets = head(device)
    for wrong in (-1, 70):
        with pytest.raises(ValueError, match=f"targets holds {wrong}: allowed are 0 to 69"):
            kernels.linear_token_logprobs(
                hidden, weight, targets.index_fill(0, targets[:1], wrong), temperature=1.0, impl=impl
            )


@case(PROBES)
def rewards_of_whole_numbers(impl: Any, device: str) -> None:
    with pytest.raises(ValueError, match="rewards has dtype int64"):
        kernels.group_advantages(torch.ones(4, dtype=torch.int64, device=device), group_size=4, impl=impl)


@case(PROBES)
def a_second_derivative(impl: Any, device: str) -> None:
    logits = normal(3, 9).to(device).requires_grad_()
    found = kernels.token_logprobs(logits, torch.arange(3, device=device), temperature=1.0, impl=impl).logprobs.sum()
    (gradient,) = torch.autograd.grad(found, logits, create_graph=True)
    with pytest.raises(RuntimeError, match="backward"):
        torch.autograd.grad(gradient.sum(), logits)


@case(PROBES)
def advantages_of_one_column(impl: Any, device: str) -> None:
    """TRL's shape ``[B, 1]``."""
    arguments = batch(device)
    expected = kernels.linear_grpo_loss(**arguments, temperature=1.0, impl=impl).loss
    arguments["advantages"] = arguments["advantages"][:, None]
    assert torch.equal(kernels.linear_grpo_loss(**arguments, temperature=1.0, impl=impl).loss, expected)
