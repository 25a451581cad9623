"""The Triton divergence of two heads against the plain form in fp64."""

from typing import Any

import pytest
import torch
from torch import Tensor

from urt_kernels import linear_distillation_loss
from urt_kernels.dispatch import Impl

KINDS: tuple[tuple[Impl, torch.dtype], ...] = (("triton", torch.float32), ("reference", torch.float64))


def heads(device: str, num_rows: int, vocabulary: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((num_rows, 8), (vocabulary, 8), (num_rows, 12), (vocabulary, 12))
    return tuple(torch.randn(*shape, generator=generator).to(device) for shape in shapes)


@pytest.mark.parametrize(("divergence", "beta"), [("forward_kl", 0.5), ("reverse_kl", 0.5), ("jsd", 0.5), ("jsd", 0.1)])
@pytest.mark.parametrize(("num_rows", "vocabulary"), [(3, 40), (2, 5003), (1, 1), (0, 7)])
def test_values_and_gradients(device, divergence: Any, beta, num_rows, vocabulary, monkeypatch):
    monkeypatch.setattr("urt_kernels.distillation.function.WORKSPACE_BYTES", 2**15)
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
