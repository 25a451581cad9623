"""linear_token_logprobs against log_softmax of the logits in fp64."""

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
