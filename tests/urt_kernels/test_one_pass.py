"""linear_grpo_loss against grpo_loss of linear_token_logprobs."""

from typing import Any

import pytest
import torch

from urt_kernels import grpo_loss, linear_grpo_loss, linear_token_logprobs


def batch(*, dtype: torch.dtype = torch.float64, num_sequences: int = 4) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return {
        "hidden": normal(num_sequences, 7, 8).requires_grad_(),
        "weight": normal(30, 8).requires_grad_(),
        "bias": normal(30).requires_grad_(),
        "targets": torch.randint(0, 30, (num_sequences, 7), generator=generator),
        "rollout_logprobs": normal(num_sequences, 7).double() - 5,
        "advantages": normal(num_sequences).double(),
        "completion_mask": torch.rand(num_sequences, 7, generator=generator) > 0.3,
        "reference_logprobs": normal(num_sequences, 7).double() - 5,
        "temperature": 0.7,
    }


def two_steps(arguments: dict[str, Any], **objective: Any) -> torch.Tensor:
    arguments = dict(arguments)
    head = {name: arguments.pop(name) for name in ("hidden", "weight", "targets", "bias", "temperature")}
    logprobs = linear_token_logprobs(**head, mask=arguments["completion_mask"]).logprobs
    return grpo_loss(logprobs, **arguments, **objective).loss


@pytest.mark.parametrize(
    "objective",
    [
        {"aggregation": "grpo"},
        {"aggregation": "dapo", "clip_high": 0.28},
        {"aggregation": "dr_grpo", "num_tokens": 40},
        {"aggregation": "grpo", "num_sequences": torch.tensor(9)},
        {"ratio": "sequence"},
    ],
)
def test_loss_and_gradients_equal_those_of_two_steps(objective: dict[str, Any]):
    arguments = batch()
    leaves = [arguments[name] for name in ("hidden", "weight", "bias")]
    result = linear_grpo_loss(**arguments, kl_coef=0.1, **objective)
    expected = two_steps(arguments, kl_coef=0.1, **objective)
    torch.testing.assert_close(result.loss, expected)
    torch.testing.assert_close(result.sums.loss, expected)
    # An upstream gradient other than 1 scales the stored gradients.
    gradients = torch.autograd.grad(result.loss * -2.5, leaves)
    for ours, theirs in zip(gradients, torch.autograd.grad(expected * -2.5, leaves), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_frozen_weight_gives_only_the_hidden_gradient():
    arguments = batch()
    arguments["weight"] = arguments["weight"].detach()
    arguments["bias"] = None
    result = linear_grpo_loss(**arguments, kl_coef=0.1)
    expected = two_steps(arguments, kl_coef=0.1)
    (gradient,) = torch.autograd.grad(result.loss, arguments["hidden"])
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, arguments["hidden"])[0])


def test_on_policy_ratio_is_exactly_one():
    arguments = batch(dtype=torch.float32)
    head = {name: arguments[name] for name in ("hidden", "weight", "targets", "bias", "temperature")}
    arguments["rollout_logprobs"] = linear_token_logprobs(**head).logprobs.detach()
    result = linear_grpo_loss(**arguments)
    assert torch.equal(result.policy_logprobs, arguments["rollout_logprobs"] * arguments["completion_mask"])
    assert result.sums.ratio_sum == result.sums.num_tokens


def test_no_completion_token_gives_zero():
    arguments = batch()
    arguments["completion_mask"] = torch.zeros(4, 7, dtype=torch.bool)
    result = linear_grpo_loss(**arguments)
    assert result.loss == 0
    result.loss.backward()
    assert torch.equal(arguments["weight"].grad, torch.zeros(30, 8, dtype=torch.float64))
