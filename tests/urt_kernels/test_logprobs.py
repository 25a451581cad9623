"""token_logprobs against log_softmax in fp64."""

from typing import Any

import pytest
import torch

from urt_kernels import IGNORE_TARGET, token_logprobs


def expected(logits, targets, temperature):
    log_p = (logits.double() / temperature).log_softmax(-1)
    chosen = log_p.gather(-1, targets.long().clamp(min=0)[..., None])[..., 0]
    return chosen, -(log_p.exp() * log_p).sum(-1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("vocabulary", [1, 7, 128, 1000])
def test_equals_log_softmax(dtype, vocabulary):
    generator = torch.Generator().manual_seed(vocabulary)
    logits = (torch.randn(3, 5, vocabulary, generator=generator) * 6).to(dtype)
    targets = torch.randint(0, vocabulary, (3, 5), generator=generator)
    result = token_logprobs(logits, targets, temperature=0.7, entropy=True)
    assert result.entropy is not None
    logprobs, entropy = expected(logits, targets, 0.7)
    # fp32 logits of magnitude 30 have an ulp of 2e-6; the input's own rounding is not an error of the function.
    tolerance: dict[str, Any] = {"atol": 1e-12 if dtype == torch.float64 else 1e-5, "rtol": 1e-6}
    torch.testing.assert_close(result.logprobs.double(), logprobs, **tolerance)
    torch.testing.assert_close(result.entropy.double(), entropy, **tolerance)
    torch.testing.assert_close(result.lse.double(), (logits.double() / 0.7).logsumexp(-1), **tolerance)
    assert torch.equal(result.top1, logits.gather(-1, targets[..., None])[..., 0] == logits.amax(-1))


def test_gradcheck_of_every_output():
    logits = torch.randn(4, 9, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 8, IGNORE_TARGET, 3])

    def outputs(logits):
        result = token_logprobs(logits, targets, temperature=1.3, entropy=True)
        assert result.entropy is not None
        return result.logprobs, result.entropy, result.lse

    assert torch.autograd.gradcheck(outputs, logits)


def test_a_nan_or_ignored_row_leaves_its_neighbours_alone():
    logits = torch.randn(3, 6, dtype=torch.float64).requires_grad_()
    poisoned = logits.detach().clone().index_fill(0, torch.tensor([1]), torch.nan).requires_grad_()
    targets = torch.tensor([0, 1, IGNORE_TARGET])
    clean, result = (token_logprobs(rows, targets, temperature=1.0, entropy=True) for rows in (logits, poisoned))
    assert result.logprobs.isnan().tolist() == [False, True, False]
    assert result.logprobs[0] == clean.logprobs[0]
    assert (result.logprobs[2], result.lse[2], result.top1[2].item()) == (0, 0, False)
    # Nor does its NaN reach the gradient where nothing flows through it.
    (gradient,) = torch.autograd.grad(result.logprobs[[0, 2]].sum(), poisoned)
    assert torch.equal(gradient[1:], torch.zeros(2, 6, dtype=torch.float64))
    assert torch.equal(gradient[0], torch.autograd.grad(clean.logprobs[0], logits)[0][0])


def test_logits_of_minus_infinity_have_no_share():
    logits = torch.tensor([[0.0, -torch.inf, 1.0]], dtype=torch.float64, requires_grad=True)
    without = token_logprobs(logits.detach()[:, ::2], torch.tensor([1]), temperature=1.0, entropy=True)
    result = token_logprobs(logits, torch.tensor([2]), temperature=1.0, entropy=True)
    assert result.entropy is not None
    assert without.entropy is not None
    torch.testing.assert_close(result.logprobs, without.logprobs)
    torch.testing.assert_close(result.entropy, without.entropy)
    (gradient,) = torch.autograd.grad(result.logprobs.sum() + result.entropy.sum(), logits)
    assert gradient.isfinite().all()
    assert gradient[0, 1] == 0


def test_top1_counts_a_tie_for_the_highest():
    logits = torch.tensor([[2.0, 2.0, 1.0]]).expand(3, 3)
    assert token_logprobs(logits, torch.arange(3), temperature=1.0).top1.tolist() == [True, True, False]


def test_any_strides():
    whole = torch.randn(3, 5, 21, dtype=torch.float64)
    targets = torch.randint(0, 20, (3, 4))
    for view in (
        whole.detach()[:, :-1, 1:],
        whole.detach()[:, 1:, :20],
        whole.detach()[:, :4, :20].permute(0, 2, 1).contiguous().mT,
    ):
        leaf, plain = view.requires_grad_(), view.contiguous().requires_grad_()
        results = [token_logprobs(rows, targets, temperature=1.0).logprobs for rows in (leaf, plain)]
        torch.testing.assert_close(*results)
        gradients = [
            torch.autograd.grad(values.sum(), rows)[0] for values, rows in zip(results, (leaf, plain), strict=True)
        ]
        torch.testing.assert_close(*gradients)


def test_no_fp32_copy_of_the_logits():
    logits, targets = (
        torch.zeros(256, 32000, dtype=torch.bfloat16, requires_grad=True),
        torch.zeros(256, dtype=torch.long),
    )
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        token_logprobs(logits, targets, temperature=0.7, entropy=True)
    events = profile.events()
    assert events is not None
    largest = max(event.cpu_memory_usage for event in events)
    assert largest < logits.numel() * 4 / 8


def test_in_place_gradient_refuses_where_the_logits_are_needed():
    leaf = torch.randn(3, 6, requires_grad=True)
    targets = torch.tensor([0, 1, 2])
    logits = leaf * 1.0
    plain = torch.autograd.grad(token_logprobs(logits, targets, temperature=1.0).logprobs.sum(), leaf)[0]
    logits = leaf * 1.0
    result = token_logprobs(logits, targets, temperature=1.0, inplace_backward=True).logprobs.sum()
    assert torch.equal(torch.autograd.grad(result, leaf)[0], plain)
    logits = leaf * 1.0
    squares = logits.square().sum()
    result = token_logprobs(logits, targets, temperature=1.0, inplace_backward=True).logprobs.sum()
    result.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        squares.backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_logits_are_left_as_they_were(dtype, temperature):
    logits = torch.randn(5, 9).to(dtype)
    before = logits.clone()
    token_logprobs(logits, torch.arange(5), temperature=temperature)
    assert torch.equal(logits, before)
