"""Divergences of two heads against the formulas with autograd in fp64."""

from typing import Any

import pytest
import torch
from torch import Tensor

from urt_kernels import linear_distillation_loss, linear_top_k_distillation_loss


def heads(dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 5, 8), (40, 8), (3, 5, 12), (40, 12))
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)


MASK = torch.arange(15).reshape(3, 5) % 4 != 0


def expected(log_p: Tensor, log_q: Tensor, divergence: str, beta: float) -> Tensor:
    p, q = log_p.exp(), log_q.exp()
    if divergence == "forward_kl":
        return (q * (log_q - log_p)).sum(-1)
    if divergence == "reverse_kl":
        return (p * (log_p - log_q)).sum(-1)
    log_m = (beta * q + (1 - beta) * p).log()
    return beta * (q * (log_q - log_m)).sum(-1) + (1 - beta) * (p * (log_p - log_m)).sum(-1)


@pytest.mark.parametrize(("divergence", "beta"), [("forward_kl", 0.5), ("reverse_kl", 0.5), ("jsd", 0.5), ("jsd", 0.2)])
@pytest.mark.parametrize("workspace", [2**28, 2000], ids=["one chunk", "chunks of eight rows"])
def test_two_heads(divergence: Any, beta, workspace, monkeypatch):
    monkeypatch.setattr("urt_kernels.distillation.reference.WORKSPACE_BYTES", workspace)
    hidden, weight, teacher_hidden, teacher_weight = heads()
    leaves = [hidden.requires_grad_(), weight.requires_grad_()]
    result = linear_distillation_loss(
        hidden, weight, teacher_hidden, teacher_weight, temperature=0.8, divergence=divergence, beta=beta, mask=MASK
    )
    log_p = (hidden @ weight.T / 0.8).log_softmax(-1)
    log_q = (teacher_hidden @ teacher_weight.T / 0.8).log_softmax(-1)
    rows = expected(log_p, log_q, divergence, beta) * MASK
    torch.testing.assert_close(result.divergences, rows.detach())
    torch.testing.assert_close(result.loss, rows.sum() / MASK.sum())
    gradients = [torch.autograd.grad(each * 3.0, leaves) for each in (result.loss, rows.sum() / MASK.sum())]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_same_head_has_no_divergence_and_no_gradient():
    hidden, weight, *_ = heads(torch.float32)
    hidden.requires_grad_()
    for divergence in ("forward_kl", "reverse_kl", "jsd"):
        result = linear_distillation_loss(hidden, weight, hidden, weight, temperature=1.0, divergence=divergence)
        (gradient,) = torch.autograd.grad(result.loss, hidden)
        assert result.loss.abs() < 1e-6
        assert gradient.abs().max() < 1e-6


@pytest.mark.parametrize("autocast", [False, True])
def test_bf16_operands_and_autocast(autocast):
    operands = heads(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        result = linear_distillation_loss(*operands, temperature=1.0, num_tokens=2)
    wide = [each.double() for each in operands]
    log_p, log_q = (wide[0] @ wide[1].T).log_softmax(-1), (wide[2] @ wide[3].T).log_softmax(-1)
    assert abs(float(result.loss) - float((log_q.exp() * (log_q - log_p)).sum() / 2)) < 1e-4


@pytest.mark.parametrize("form", ["forward_kl", "reverse_kl", "jsd", "top tokens"])
@pytest.mark.parametrize("workspace", [2**26, 2**19], ids=["tiles of 128", "tiles of 8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bits_of_a_row_do_not_depend_on_its_neighbours(form: Any, workspace, dtype, monkeypatch):
    """Whatever the batch, and wherever in it the row is; both of several chunks and of a part of one."""
    monkeypatch.setattr("urt_kernels.distillation.reference.WORKSPACE_BYTES", workspace)
    vocabulary = 5003
    shapes = ((290, 24), (vocabulary, 24), (290, 16), (vocabulary, 16))
    generator = torch.Generator().manual_seed(0)
    hidden, weight, teacher, teacher_weight = (torch.randn(*shape, generator=generator).to(dtype) for shape in shapes)
    tokens = torch.arange(290 * 3).reshape(290, 3) % vocabulary

    def found(rows: slice) -> tuple[Tensor, Tensor]:
        own = hidden[rows].clone().requires_grad_()
        if form == "top tokens":
            told = torch.full((len(own), 3), -1.2)
            result = linear_top_k_distillation_loss(own, weight, tokens[rows], told, temperature=0.9, num_tokens=1)
        else:
            result = linear_distillation_loss(
                own, weight, teacher[rows], teacher_weight, temperature=0.9, divergence=form, num_tokens=1
            )
        return result.divergences, torch.autograd.grad(result.loss, own)[0]

    values, gradients = found(slice(0, 290))
    for rows in (slice(0, 1), slice(5, 6), slice(289, 290), slice(0, 7), slice(3, 200), slice(131, 290)):
        own_values, own_gradients = found(rows)
        assert torch.equal(own_values, values[rows])
        assert torch.equal(own_gradients, gradients[rows])


def test_tokens_of_a_server():
    hidden, weight, teacher_hidden, teacher_weight = heads()
    leaves = [hidden.requires_grad_(), weight.requires_grad_()]
    logprobs, tokens = (teacher_hidden @ teacher_weight.T).log_softmax(-1).topk(6)
    logprobs = logprobs.clone()
    logprobs[0, 0, 4:] = -torch.inf  # a shorter list
    result = linear_top_k_distillation_loss(hidden, weight, tokens, logprobs, temperature=0.8, mask=MASK)
    log_p = (hidden @ weight.T / 0.8).log_softmax(-1).gather(-1, tokens)
    terms = torch.where(logprobs.isfinite(), logprobs.exp() * (logprobs.clamp(min=-1e3) - log_p), 0.0)
    total = (terms.sum(-1) * MASK).sum() / MASK.sum()
    torch.testing.assert_close(result.loss, total)
    for ours, theirs in zip(torch.autograd.grad(result.loss, leaves), torch.autograd.grad(total, leaves), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_wrong_input_is_named(no_type_checks):
    hidden, weight, teacher_hidden, teacher_weight = heads()
    with pytest.raises(ValueError, match=r"teacher_weight has shape \[39, 12\]: it must be \[40, 12\]"):
        linear_distillation_loss(hidden, weight, teacher_hidden, teacher_weight[:-1], temperature=1.0)
    with pytest.raises(ValueError, match="beta=1"):
        linear_distillation_loss(hidden, weight, teacher_hidden, teacher_weight, temperature=1.0, beta=1)
    with pytest.raises(ValueError, match="divergence='kl'"):
        linear_distillation_loss(
            hidden, weight, teacher_hidden, teacher_weight, temperature=1.0, divergence="kl",  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
    tokens = torch.full((3, 5, 2), 40)
    with pytest.raises(ValueError, match="teacher_tokens holds 40: allowed are 0 to 39"):
        linear_top_k_distillation_loss(hidden, weight, tokens, torch.zeros(3, 5, 2), temperature=1.0)
    with pytest.raises(ValueError, match=r"teacher_tokens has shape \[3, 5, 0\]: it must list at least one token"):
        linear_top_k_distillation_loss(hidden, weight, tokens[..., :0], torch.zeros(3, 5, 0), temperature=1.0)


def test_no_live_row_keeps_the_graph():
    hidden, weight, teacher_hidden, teacher_weight = heads()
    weight.requires_grad_()
    mask = torch.zeros(3, 5, dtype=torch.bool)
    result = linear_distillation_loss(hidden, weight, teacher_hidden, teacher_weight, temperature=1.0, mask=mask)
    result.loss.backward()
    assert result.loss == 0
    assert weight.grad is not None
    assert torch.equal(weight.grad, torch.zeros_like(weight))
