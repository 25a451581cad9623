"""The Triton kernels of token_logprobs against fp64 and against the reference."""

import pytest
import torch
from torch import Tensor

from urt_kernels import IGNORE_TARGET, TokenLogprobs, token_logprobs


def normal(*shape: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) * scale


def compare(logits: Tensor, targets: Tensor, *, temperature: float = 0.7, entropy: bool = True) -> TokenLogprobs:
    """Check values and gradients of the Triton implementation against the reference on the same operands."""
    results, gradients = [], []
    upstream = [normal(3, *targets.shape)[index].to(logits.device) for index in range(3)]
    for impl in ("triton", "reference"):
        leaf = logits.detach().requires_grad_()
        result = token_logprobs(leaf, targets, temperature=temperature, entropy=entropy, impl=impl)
        outputs = (
            [result.logprobs, result.lse] if result.entropy is None else [result.logprobs, result.lse, result.entropy]
        )
        gradients += torch.autograd.grad(outputs, leaf, upstream[: len(outputs)])
        results.append(result)
    triton, reference = results
    assert torch.equal(triton.top1, reference.top1)
    for name in ("logprobs", "lse", "entropy"):
        ours, theirs = getattr(triton, name), getattr(reference, name)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-6, equal_nan=True)
    # Rounding to bf16 may fall on either side: one step.
    tolerance = 2e-5 if logits.dtype == torch.float32 else 2e-2
    torch.testing.assert_close(*gradients, atol=tolerance, rtol=tolerance, equal_nan=True)
    return triton


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_real_vocabulary_with_peaked_logits(device, dtype):
    logits = normal(2, 151936)
    logits[0, 77] = 32.0
    targets = torch.tensor([77, 151935])
    result = compare(logits.to(dtype).to(device), targets.to(device))
    log_p = (logits.to(dtype).double() / 0.7).log_softmax(-1)
    expected = log_p.gather(-1, targets[:, None])[:, 0]
    assert (result.logprobs.cpu() - expected).abs().max() < 1e-4
    assert result.top1.tolist() == [True, False]


@pytest.mark.parametrize("vocabulary", [1, 7, 97, 255, 1000])
@pytest.mark.parametrize("num_rows", [0, 1, 3])
def test_any_size(device, vocabulary, num_rows):
    targets = torch.arange(num_rows) % vocabulary
    compare(normal(num_rows, vocabulary, scale=5.0).to(device), targets.to(device))


def test_strides_and_unaligned_views(device):
    targets = torch.arange(1, 9).to(device)
    whole = normal(2, 5, 101).to(device)
    compare(whole[:, :-1], targets.view(2, 4))
    compare(whole[..., 1:][:, 1:], targets.view(2, 4))
    compare(normal(33, 8).to(device).T, targets)
    compare(normal(2, 3, 2, 2, 17).to(device)[:, ::2, :, :], torch.ones(2, 2, 2, 2, dtype=torch.int32, device=device))
    compare(normal(7, 33).to(device), torch.arange(8, dtype=torch.int32, device=device)[1:])
    compare(normal(7, 33).to(device), targets[1:], entropy=False)


def test_extreme_values(device):
    logits = normal(6, 300)
    logits[0, 5:200] = -torch.inf
    logits[1] = 1e4 * logits[1].sign()
    logits[2] = 3.0
    logits[3, 7] = torch.nan
    logits[4] = -torch.inf
    targets = torch.tensor([3, 0, 299, 0, 1, IGNORE_TARGET])
    result = compare(logits.to(device), targets.to(device))
    assert result.logprobs.isnan().tolist() == [False, False, False, True, True, False]
    assert result.top1.tolist()[2]
    assert result.logprobs[5] == 0


def test_a_banned_target_has_log_prob_minus_infinity(device):
    logits = torch.tensor([[0.0, -torch.inf, 1.0]], device=device)
    result = token_logprobs(logits, torch.tensor([1], device=device), temperature=1.0, impl="triton")
    assert result.logprobs.item() == -torch.inf


def test_an_unchecked_target_out_of_range_gives_nan(device):
    targets = torch.tensor([0, 50, -1], device=device)
    for impl in ("triton", "reference"):
        result = token_logprobs(normal(3, 50).to(device), targets, temperature=1.0, validate_targets=False, impl=impl)
        assert result.logprobs.isnan().tolist() == [False, True, True]


def test_in_place_gradient_is_the_same(device):
    gradients = []
    for inplace in (False, True):
        leaf = normal(3, 90).to(device).requires_grad_()
        logits = leaf * 2.0
        targets = torch.tensor([1, IGNORE_TARGET, 89], device=device)
        result = token_logprobs(logits, targets, temperature=1.0, inplace_backward=inplace, impl="triton")
        gradients += torch.autograd.grad(result.logprobs.sum(), leaf)
    assert torch.equal(*gradients)


def test_a_row_does_not_depend_on_its_neighbours(device):
    logits, targets = normal(5, 9000).to(device), torch.arange(5, device=device)
    together = token_logprobs(logits, targets, temperature=1.0, entropy=True, impl="triton")
    alone = token_logprobs(logits[3:4], targets[3:4], temperature=1.0, entropy=True, impl="triton")
    assert torch.equal(together.logprobs[3:4], alone.logprobs)
    assert together.entropy is not None
    assert alone.entropy is not None
    assert torch.equal(together.entropy[3:4], alone.entropy)
