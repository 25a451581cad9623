"""Objectives by name, by function and by import path, against the formulas written with autograd in fp64."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from urt_kernels import SurrogateInputs, grpo_loss, linear_loss
from urt_kernels.surrogates import dpo


def reinforce(inputs: SurrogateInputs) -> Tensor:
    """A user's own: - A log p."""
    return -inputs.needed("advantages") * inputs.policy_logprobs


def entropic(inputs: SurrogateInputs) -> Tensor:
    return reinforce(inputs) - 0.3 * inputs.needed("entropy")


def averaged(inputs: SurrogateInputs) -> Tensor:
    """A token's value depends on the mean of its sequence."""
    sums = inputs.sequence_sums(inputs.policy_logprobs) / inputs.sequence_lengths()
    return sums[inputs.sequences].square()


@pytest.fixture
def batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    return {
        "hidden": normal(4, 7, 8).requires_grad_(),
        "weight": normal(30, 8).requires_grad_(),
        "targets": torch.randint(0, 30, (4, 7), generator=generator),
        "mask": torch.rand(4, 7, generator=generator) > 0.3,
        "advantages": normal(4),
        "rollout_logprobs": normal(4, 7) - 4,
        "reference_logprobs": normal(4, 7) - 4,
    }


def dense(batch: dict[str, Any], temperature: float = 0.7) -> tuple[Tensor, Tensor]:
    log_p = ((batch["hidden"] @ batch["weight"].T) / temperature).log_softmax(-1)
    return log_p.gather(-1, batch["targets"][..., None])[..., 0], -(log_p.exp() * log_p).sum(-1)


def agree(loss: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(loss, expected)
    gradients = [torch.autograd.grad(each * -2.5, leaves, retain_graph=True) for each in (loss, expected)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def one_pass(batch: dict[str, Any], **arguments: Any) -> Any:
    return linear_loss(**batch, temperature=0.7, **arguments)


def test_cispo_in_both_forms(batch):
    logprobs, _ = dense(batch)
    ratio = (logprobs - batch["rollout_logprobs"]).detach().exp().clamp(0.9, 1.3)
    values = -ratio * batch["advantages"][:, None] * logprobs * batch["mask"]
    expected = (values.sum(-1) / batch["mask"].sum(-1)).mean()
    settings: dict[str, Any] = {"surrogate": "cispo", "clip_low": 0.1, "clip_high": 0.3, "aggregation": "grpo"}
    agree(one_pass(batch, **settings).loss, expected, [batch["hidden"], batch["weight"]])
    two_steps = grpo_loss(logprobs, batch["rollout_logprobs"], batch["advantages"], batch["mask"], **settings)
    agree(two_steps.loss, expected, [batch["hidden"], batch["weight"]])


@pytest.mark.parametrize("aggregation", ["grpo", "dapo", "dr_grpo"])
def test_negative_log_likelihood_with_an_entropy_bonus(batch, aggregation):
    logprobs, entropy = dense(batch)
    values = (-logprobs - 0.2 * entropy) * batch["mask"]
    tokens = batch["mask"].sum()
    expected = {
        "grpo": (values.sum(-1) / batch["mask"].sum(-1)).mean(),
        "dapo": values.sum() / tokens,
        "dr_grpo": values.sum() / batch["mask"].numel(),
    }
    result = one_pass(batch, surrogate="nll", entropy_coef=0.2, aggregation=aggregation)
    agree(result.loss, expected[aggregation], [batch["hidden"], batch["weight"]])
    torch.testing.assert_close(result.entropy, (entropy * batch["mask"]).detach())


def test_pairs_of_dpo(batch):
    logprobs, _ = dense(batch)
    margins = ((logprobs - batch["reference_logprobs"]) * batch["mask"]).sum(-1)
    expected = -torch.nn.functional.logsigmoid(0.3 * (margins[0::2] - margins[1::2])).mean()
    result = one_pass(batch, surrogate=partial(dpo, beta=0.3), sequences_together=2, num_tokens=2)
    agree(result.loss, expected, [batch["hidden"], batch["weight"]])


@pytest.mark.parametrize("surrogate", [reinforce, f"{__name__}:reinforce", lambda inputs: reinforce(inputs)])
def test_a_function_of_a_users_own(batch, surrogate):
    logprobs, _ = dense(batch)
    expected = -(batch["advantages"][:, None] * logprobs * batch["mask"]).sum() / batch["mask"].sum()
    leaves = [batch["hidden"], batch["weight"]]
    agree(one_pass(batch, surrogate=surrogate).loss, expected, leaves)
    constants = (batch["rollout_logprobs"], batch["advantages"], batch["mask"])
    agree(grpo_loss(logprobs, *constants, surrogate=surrogate, aggregation="dapo").loss, expected, leaves)


def test_a_function_that_reads_the_entropy(batch):
    logprobs, entropy = dense(batch)
    values = (-batch["advantages"][:, None] * logprobs - 0.3 * entropy) * batch["mask"]
    result = one_pass(batch, surrogate=entropic, entropy=True)
    agree(result.loss, values.sum() / batch["mask"].sum(), [batch["hidden"], batch["weight"]])
    with pytest.raises(ValueError, match=r"entropy=None: the surrogate reads it; ask for it with entropy=True"):
        one_pass(batch, surrogate=entropic)


@pytest.mark.parametrize("workspace", [2**28, 0], ids=["one pass", "second pass"])
def test_tokens_that_depend_on_their_sequence(batch, workspace, monkeypatch):
    """With a workspace for 8 rows and sequences of up to 12, the gradient takes a pass of its own; the numbers are the
    same."""
    monkeypatch.setattr("urt_kernels.one_pass.reference.WORKSPACE_BYTES", workspace)
    monkeypatch.setattr("urt_kernels.one_pass.reference.TILE_ROWS", 4)
    logprobs, _ = dense(batch)
    lengths = batch["mask"].sum(-1)
    means = (logprobs * batch["mask"]).sum(-1) / lengths
    expected = (means.square() * lengths).sum() / lengths.sum()
    result = one_pass(batch, surrogate=averaged, sequences_together=1)
    agree(result.loss, expected, [batch["hidden"], batch["weight"]])


@pytest.mark.parametrize(
    ("surrogate", "message"),
    [
        ("klip", "surrogate='klip': allowed are 'clip', 'cispo', 'nll', 'dpo', or 'package.module:name'"),
        ("no.such.module:name", "module 'no.such.module' can't be imported"),
        ("urt_kernels:no_such_name", "allowed are"),
        (3, "surrogate=3: it must be a function"),
        (lambda inputs: inputs.policy_logprobs.sum(), "one value per token"),
        (lambda inputs: inputs.needed("old_logprobs"), None),
    ],
)
def test_a_wrong_surrogate_is_named(batch, surrogate, message, no_type_checks):
    if message is None:  # a constant: a loss without gradient
        (gradient,) = torch.autograd.grad(one_pass(batch, surrogate=surrogate).loss, batch["hidden"])
        assert torch.equal(gradient, torch.zeros_like(gradient))
        return
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        one_pass(batch, surrogate=surrogate)
