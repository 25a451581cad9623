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
