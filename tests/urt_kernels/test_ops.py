"""Every operation as a torch.library op: opcheck, torch.compile and torch.export see the same function as eager."""

from typing import Any

import pytest
import torch

from urt_kernels import (
    IGNORE_TARGET,
    group_advantages,
    grpo_loss,
    linear_distillation_loss,
    linear_loss,
    linear_token_logprobs,
    linear_top_k_distillation_loss,
    token_logprobs,
)

OPS = torch.ops.urt_kernels
# Temperature, temperatures, logit scale, soft cap, allowed tokens, type of the operands.
HEAD = (0.7, torch.tensor([0.7, 1.0, 0.9]), 0.5, 4.0, None, None)
TARGETS = torch.tensor([0, 4, IGNORE_TARGET])


def normal(*shape: int, grad: bool = False) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_(grad)


def token_logprobs_arguments() -> tuple[Any, ...]:
    return normal(3, 5, grad=True), TARGETS, 0.7, None, True, False, "reference", True


def linear_arguments() -> tuple[Any, ...]:
    return (
        normal(3, 4, grad=True),
        normal(5, 4, grad=True),
        normal(5, grad=True),
        TARGETS,
        *HEAD,
        True,
        "reference",
        True,
    )


def advantages_arguments() -> tuple[Any, ...]:
    return (
        normal(6, 2),
        torch.tensor([1.0, 0.5]),
        torch.tensor([0, 2, 6]),
        "grpo",
        "sum_then_normalize",
        1e-4,
        "reference",
    )


def one_pass_arguments() -> tuple[Any, ...]:
    targets, rows = torch.tensor([0, 4, 1]), torch.tensor([0, 1, 4])
    head = (normal(3, 4, grad=True), normal(5, 4, grad=True), normal(5, grad=True), targets, *HEAD)
    tokens = (normal(3), None, normal(3), normal(3), torch.full((3,), 0.2), torch.tensor([0, 0, 1]), 2, rows)
    objective = ([0.2, 0.28, 3.0, 2.0, 0.04, 10.0, 0.01], "k3", "token", "dapo", "clip")
    return (*head, *tokens, *objective, torch.tensor(1.0), 0, True, True, True, True, "", 5, 0, "", "reference", True)


def loss_arguments() -> tuple[Any, ...]:
    values = (normal(2, 3, grad=True), normal(2, 3), normal(2, 3), normal(2, 3), normal(2, 1))
    mask, divisor = torch.tensor([[1, 1, 0], [1, 1, 1]], dtype=torch.bool), torch.tensor(5.0)
    objective = ([0.2, 0.28, 3.0, 2.0, 0.04, 10.0, 0.0], "k3", "token", "dapo", "clip")
    return (*values, mask, None, divisor, *objective, "reference")


def distillation_arguments() -> tuple[Any, ...]:
    heads = (normal(3, 4, grad=True), normal(5, 4, grad=True), normal(3, 2), normal(5, 2))
    return (*heads, 0.7, "jsd", 0.3, True, True, "reference")


def top_k_distillation_arguments() -> tuple[Any, ...]:
    told = (torch.tensor([[0, 4], [1, 1], [3, 2]]), normal(3, 2).log_softmax(-1))
    return (normal(3, 4, grad=True), normal(5, 4, grad=True), *told, 0.7, True, True, "reference")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("token_logprobs", token_logprobs_arguments),
        ("linear_token_logprobs", linear_arguments),
        ("group_advantages", advantages_arguments),
        ("grpo_loss", loss_arguments),
        ("linear_loss", one_pass_arguments),
        ("linear_distillation_loss", distillation_arguments),
        ("linear_top_k_distillation_loss", top_k_distillation_arguments),
    ],
)
def test_opcheck(name, arguments):
    torch.library.opcheck(getattr(OPS, name).default, arguments())


class Head(torch.nn.Module):
    """From hidden states to the loss: every differentiable operation in one graph."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(normal(11, 8))

    def forward(self, hidden: torch.Tensor, targets: torch.Tensor, rewards: torch.Tensor) -> torch.Tensor:
        logprobs = linear_token_logprobs(hidden, self.weight, targets, temperature=0.7, entropy=True).logprobs
        again = token_logprobs(hidden @ self.weight.T, targets, temperature=0.7).logprobs
        advantages = group_advantages(rewards, group_size=2).advantages
        mask = torch.ones_like(logprobs, dtype=torch.bool)
        return grpo_loss(logprobs, again.detach(), advantages, mask, num_sequences=4).loss + again.mean()


class OnePass(torch.nn.Module):
    """The loss from hidden states in one op, with clip, KL, soft cap and entropy bonus."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(normal(11, 8))

    def forward(self, hidden: torch.Tensor, targets: torch.Tensor, rewards: torch.Tensor) -> torch.Tensor:
        advantages = group_advantages(rewards, group_size=2).advantages
        rollout = -torch.ones_like(hidden[..., 0])
        return linear_loss(
            hidden,
            self.weight,
            targets,
            surrogate="clip",
            rollout_logprobs=rollout,
            reference_logprobs=rollout,
            advantages=advantages,
            kl_coef=0.1,
            entropy_coef=0.01,
            softcap=5.0,
            temperature=0.7,
            num_tokens=24,
        ).loss


class Distilled(torch.nn.Module):
    """Both distillation losses of one head, over a mask."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(normal(11, 8))
        self.teacher = torch.nn.Parameter(normal(11, 6))

    def forward(self, hidden: torch.Tensor, targets: torch.Tensor, rewards: torch.Tensor) -> torch.Tensor:
        mask = (targets > 0) & (rewards[:, None] > 0)
        whole = linear_distillation_loss(
            hidden, self.weight, hidden[..., :6], self.teacher, temperature=0.7, divergence="reverse_kl", mask=mask
        )
        tokens, logprobs = torch.stack([targets, targets + 5], -1), torch.full((*targets.shape, 2), -1.0)
        listed = linear_top_k_distillation_loss(hidden, self.weight, tokens, logprobs, temperature=0.7)
        return whole.loss + listed.loss + listed.divergences.mean()


MODULES = [Head, OnePass, Distilled]


def batch(num_sequences: int = 4) -> tuple[torch.Tensor, ...]:
    rewards = torch.arange(num_sequences, dtype=torch.float32)
    return normal(num_sequences, 6, 8), torch.arange(6).expand(num_sequences, 6).contiguous(), rewards


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_to_one_graph_with_the_same_gradients(backend, kind, no_type_checks):
    module = kind()
    expected = module(*batch())
    (expected_gradient,) = torch.autograd.grad(expected, module.weight)
    compiled = torch.compile(module, backend=backend, fullgraph=True)
    result = compiled(*batch())
    (gradient,) = torch.autograd.grad(result, module.weight)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(gradient, expected_gradient)


def test_exports_with_a_dynamic_batch(no_type_checks):
    size = torch.export.Dim("B", min=2, max=64) * 2
    program = torch.export.export(Head(), batch(), dynamic_shapes=({0: size}, {0: size}, {0: size}))
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert {f"urt_kernels.{name}.default" for name in ("linear_token_logprobs", "grpo_loss")} <= names
    module = Head()
    program.module().load_state_dict(module.state_dict())
    torch.testing.assert_close(program.module()(*batch(6)), Head()(*batch(6)))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(OnePass, ["linear_loss"]), (Distilled, ["linear_distillation_loss", "linear_top_k_distillation_loss"])],
)
def test_losses_of_a_head_export_with_a_dynamic_batch(kind, expected, no_type_checks):
    size = torch.export.Dim("B", min=2, max=64) * 2
    module = kind()
    program = torch.export.export(module, batch(), dynamic_shapes=({0: size}, {0: size}, {0: size}))
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert {f"urt_kernels.{name}.default" for name in expected} <= names
    torch.testing.assert_close(program.module()(*batch(6)), module(*batch(6)))


def test_a_second_derivative_is_refused():
    logits = normal(3, 5, grad=True)
    (gradient,) = torch.autograd.grad(
        token_logprobs(logits, TARGETS, temperature=1.0).logprobs.sum(), logits, create_graph=True
    )
    with pytest.raises(RuntimeError, match="backward"):
        torch.autograd.grad(gradient.sum(), logits)
