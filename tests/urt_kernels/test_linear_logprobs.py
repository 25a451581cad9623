"""linear_token_logprobs against log_softmax of the logits in fp64."""

import pytest
import torch

from urt_kernels import IGNORE_TARGET, linear_token_logprobs


def test_equals_log_softmax_of_the_logits():
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(300, 16, generator=generator), torch.randn(9000, 16, generator=generator)
    bias, targets = torch.randn(9000, generator=generator), torch.randint(0, 9000, (300,), generator=generator)
    result = linear_token_logprobs(hidden, weight, targets, bias=bias, temperature=0.7, entropy=True)
    assert result.entropy is not None
    log_p = ((hidden.double() @ weight.double().T + bias.double()) / 0.7).log_softmax(-1)
    torch.testing.assert_close(result.logprobs.double(), log_p.gather(-1, targets[:, None])[:, 0], atol=2e-5, rtol=1e-6)
    torch.testing.assert_close(result.entropy.double(), -(log_p.exp() * log_p).sum(-1), atol=2e-5, rtol=1e-6)


def test_gradcheck_of_every_output():
    hidden = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, 6, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(9, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, IGNORE_TARGET, 8, 4])

    def outputs(hidden, weight, bias):
        result = linear_token_logprobs(hidden, weight, targets, bias=bias, temperature=0.7, entropy=True)
        assert result.entropy is not None
        return result.logprobs, result.entropy, result.lse

    assert torch.autograd.gradcheck(outputs, (hidden, weight, bias))


def operands(
    num_rows: int, *, vocabulary: int = 500, size: int = 24
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    hidden, weight = (torch.randn(rows, size, generator=generator) for rows in (num_rows, vocabulary))
    return hidden, weight, torch.randint(0, vocabulary, (num_rows,), generator=generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_does_not_depend_on_its_neighbours(dtype):
    hidden, weight, targets = operands(600)
    hidden, weight = hidden.to(dtype), weight.to(dtype)
    together = linear_token_logprobs(hidden, weight, targets, temperature=0.7).logprobs
    for rows in (slice(0, 1), slice(255, 257), slice(590, 600), slice(3, 400)):
        alone = linear_token_logprobs(hidden[rows], weight, targets[rows], temperature=0.7).logprobs
        assert torch.equal(together[rows], alone)


def test_bf16_operands_keep_fp32_logits():
    """Rounding the logits to bf16 would cost up to 9e-2 in the log-prob at logits of magnitude 32."""
    hidden, weight, targets = operands(64, vocabulary=9000)
    hidden, weight = (hidden * 2).bfloat16(), (weight * 1.5).bfloat16()
    logits = hidden.double() @ weight.double().T
    assert logits.abs().max() > 32
    expected = logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    result = linear_token_logprobs(hidden, weight, targets, temperature=1.0)
    assert (result.logprobs - expected).abs().max() < 1e-4


def test_rows_outside_the_mask_never_reach_the_head():
    hidden, weight, targets = operands(12)
    hidden, targets = hidden.view(3, 4, -1), targets.view(3, 4)
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 1, 1]], dtype=torch.bool)
    poisoned = hidden.masked_fill(~mask[..., None], torch.nan).requires_grad_()
    weight.requires_grad_()
    result = linear_token_logprobs(
        poisoned, weight, targets.masked_fill(~mask, 10**6), temperature=1.0, mask=mask, entropy=True
    )
    plain = linear_token_logprobs(hidden, weight, targets, temperature=1.0, entropy=True)
    for ours, all_rows in zip(result, plain, strict=True):
        assert ours is not None
        assert all_rows is not None
        assert torch.equal(ours, torch.where(mask, all_rows, torch.zeros_like(all_rows)))
    gradients = torch.autograd.grad(result.logprobs.sum(), (poisoned, weight))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert torch.equal(gradients[0][~mask], torch.zeros_like(gradients[0][~mask]))


def test_no_rows():
    hidden, weight, targets = operands(0)
    hidden.requires_grad_()
    result = linear_token_logprobs(hidden, weight, targets, temperature=1.0, entropy=True)
    assert result.logprobs.shape == (0,)
    result.logprobs.sum().backward()


def test_frozen_operands_get_no_gradient():
    hidden, weight, targets = operands(5)
    hidden.requires_grad_()
    linear_token_logprobs(hidden, weight, targets, temperature=1.0).logprobs.sum().backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_every_row_has_its_own_upstream_gradient():
    hidden, weight, targets = (tensor.double() if tensor.is_floating_point() else tensor for tensor in operands(300))
    hidden.requires_grad_()
    upstream = torch.linspace(-1, 1, 300, dtype=torch.float64)
    result = linear_token_logprobs(hidden, weight, targets, temperature=0.7).logprobs
    expected = ((hidden @ weight.T) / 0.7).log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    gradients = [torch.autograd.grad(values, hidden, upstream)[0] for values in (result, expected)]
    torch.testing.assert_close(*gradients)


def test_the_workspace_does_not_grow_with_the_tokens():
    """Neither pass holds the logits, nor a large part of them: 1024 x 20000 in fp32 would be 82 MB."""
    hidden, weight, targets = operands(1024, vocabulary=20000, size=8)
    hidden.requires_grad_()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        linear_token_logprobs(hidden, weight, targets, temperature=0.7, entropy=True).logprobs.sum().backward()
    events = profile.events()
    assert events is not None
    assert max(event.self_cpu_memory_usage for event in events) < 10e6
