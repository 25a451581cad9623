"""The Triton divergence of two heads against the plain form in fp64."""

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from urt_kernels import linear_distillation_loss, linear_top_k_distillation_loss
from urt_kernels.dispatch import Impl

KINDS: tuple[tuple[Impl, torch.dtype], ...] = (("triton", torch.float32), ("reference", torch.float64))


def heads(device: str, num_rows: int, vocabulary: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((num_rows, 8), (vocabulary, 8), (num_rows, 12), (vocabulary, 12))
    return tuple(torch.randn(*shape, generator=generator).to(device) for shape in shapes)


@pytest.mark.parametrize(("divergence", "beta"), [("forward_kl", 0.5), ("reverse_kl", 0.5), ("jsd", 0.5), ("jsd", 0.1)])
@pytest.mark.parametrize(("num_rows", "vocabulary"), [(3, 40), (2, 5003), (1, 1), (0, 7)])
def test_values_and_gradients(device, divergence: Any, beta, num_rows, vocabulary, monkeypatch):
    monkeypatch.setattr("urt_kernels.distillation.triton.WORKSPACE_BYTES", 2**15)
    operands = heads(device, num_rows, vocabulary)
    outcomes = []
    for impl, dtype in KINDS:
        own = [each.to(dtype) for each in operands]
        leaves = [own[0].requires_grad_(), own[1].requires_grad_()]
        result = linear_distillation_loss(
            leaves[0], leaves[1], own[2], own[3], temperature=0.8, divergence=divergence, beta=beta, impl=impl
        )
        outcomes.append((result.loss, result.divergences, *torch.autograd.grad(result.loss * 3.0, leaves)))
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=1e-5)


def test_peaks_and_bans(device):
    """Logits to 100, and entries that one of the heads gives no weight to."""
    hidden, weight, teacher_hidden, teacher_weight = heads(device, 4, 300)
    for divergence in ("forward_kl", "reverse_kl", "jsd"):
        outcomes = []
        for impl, dtype in KINDS:
            own = [each.to(dtype) for each in (hidden, weight, teacher_hidden, teacher_weight)]
            leaf = (own[0] * 10.0).detach().requires_grad_()
            result = linear_distillation_loss(
                leaf, own[1], own[2] * 10.0, own[3], temperature=1.0, divergence=divergence, impl=impl
            )
            outcomes.append((result.loss, result.divergences, *torch.autograd.grad(result.loss, leaf)))
        for ours, theirs in zip(*outcomes, strict=True):
            torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=1e-5)


def test_a_head_beside_itself(device):
    hidden, weight, *_ = heads(device, 3, 200)
    hidden.requires_grad_()
    for divergence in ("forward_kl", "reverse_kl", "jsd"):
        result = linear_distillation_loss(
            hidden, weight, hidden, weight, temperature=1.0, divergence=divergence, impl="triton"
        )
        assert result.divergences.abs().max() < 1e-6
        assert torch.autograd.grad(result.loss, hidden)[0].abs().max() < 1e-6


def told(device: str, num_rows: int, vocabulary: int, num_listed: int) -> tuple[Tensor, Tensor]:
    """A server's tokens, the first of which stands there twice, and log-probs that end with an entry of -inf."""
    generator = torch.Generator().manual_seed(num_listed)
    tokens = torch.randint(0, vocabulary, (num_rows, num_listed), generator=generator)
    logprobs = torch.randn(num_rows, num_listed, generator=generator).log_softmax(-1) - 0.1
    if num_listed > 1:
        tokens[:, 1] = tokens[:, 0]
        logprobs[:, -1] = -torch.inf
    return tokens.to(device), logprobs.to(device)


@pytest.mark.parametrize("num_listed", [1, 5, 20])
@pytest.mark.parametrize(("num_rows", "vocabulary"), [(3, 40), (2, 9001), (1, 1), (0, 7)])
def test_top_tokens(device, num_rows, vocabulary, num_listed, monkeypatch):
    monkeypatch.setattr("urt_kernels.distillation.triton.WORKSPACE_BYTES", 2**15)
    hidden, weight, *_ = heads(device, num_rows, vocabulary)
    tokens, logprobs = told(device, num_rows, vocabulary, num_listed)
    outcomes = []
    for impl, dtype in KINDS:
        leaves = (hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_())
        result = linear_top_k_distillation_loss(
            *leaves, tokens.int() if impl == "triton" else tokens, logprobs, temperature=0.8, impl=impl
        )
        outcomes.append((result.loss, result.divergences, *torch.autograd.grad(result.loss * 3.0, leaves)))
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", ["whole", "top tokens"])
def test_a_row_has_the_bits_it_has_alone(device, form):
    """In a batch, by itself and in chunks of one row: the divergence, and the hidden states' gradient but for the product."""
    hidden, weight, teacher_hidden, teacher_weight = heads(device, 5, 5003)
    kernels = import_module("urt_kernels.distillation.triton")
    tokens, logprobs = told(device, 5, 5003, 8)
    student, teacher = hidden @ weight.T, teacher_hidden @ teacher_weight.T

    def run(rows: slice) -> tuple[Tensor, Tensor]:
        own = student[rows].clone()
        if form == "whole":
            return kernels.whole_divergence(own, teacher[rows], 0.8, "forward_kl", 0.5, out=own), own
        return kernels.top_k_divergence(own, tokens[rows], logprobs[rows], 0.8, out=own), own

    whole = run(slice(0, 5))
    for row in range(5):
        for together, alone in zip(whole, run(slice(row, row + 1)), strict=True):
            assert torch.equal(together[row : row + 1], alone)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types(device, dtype):
    """Products of half operands with fp32 logits; the gradient of the logits is rounded to their type once."""
    hidden, weight, teacher_hidden, teacher_weight = (each.to(dtype) for each in heads(device, 9, 300))
    tokens, logprobs = told(device, 9, 300, 8)
    wide = (hidden.double().requires_grad_(), weight.double().requires_grad_())
    leaves = (hidden.requires_grad_(), weight.requires_grad_())
    for ours, theirs in (
        (
            linear_distillation_loss(*leaves, teacher_hidden, teacher_weight, temperature=0.8, impl="triton"),
            linear_distillation_loss(*wide, teacher_hidden.double(), teacher_weight.double(), temperature=0.8),
        ),
        (
            linear_top_k_distillation_loss(*leaves, tokens, logprobs, temperature=0.8, impl="triton"),
            linear_top_k_distillation_loss(*wide, tokens, logprobs, temperature=0.8),
        ),
    ):
        torch.testing.assert_close(ours.divergences.double(), theirs.divergences, atol=1e-4, rtol=0)
        gradients = torch.autograd.grad(ours.loss, leaves), torch.autograd.grad(theirs.loss, wide)
        for own, exact in zip(*gradients, strict=True):
            # The interpreter cuts bf16 where a GPU rounds it: twice the error.
            assert (own.double() - exact).norm() <= 6e-3 * exact.norm()


def test_a_token_outside_of_the_vocabulary_stays_in_its_row(device):
    """On a GPU nobody looks at the tokens: the row's divergence says so, its neighbours' do not."""
    kernels = import_module("urt_kernels.distillation.triton")
    hidden, weight, *_ = heads(device, 3, 300)
    tokens, logprobs = told(device, 3, 300, 4)
    right = kernels.top_k_divergence(hidden @ weight.T, tokens, logprobs, 1.0, out=hidden @ weight.T)
    tokens[1, 0] = 300
    student = hidden @ weight.T
    values = kernels.top_k_divergence(student, tokens, logprobs, 1.0, out=student)
    assert values.isnan().tolist() == [False, True, False]
    assert torch.equal(values[[0, 2]], right[[0, 2]])
    assert student[[0, 2]].isfinite().all()
