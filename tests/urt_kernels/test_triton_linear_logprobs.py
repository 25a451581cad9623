"""The Triton implementations of linear_token_logprobs and linear_grpo_loss against the reference."""

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from urt_kernels import IGNORE_TARGET, linear_grpo_loss, linear_token_logprobs
from urt_kernels.linear_logprobs import reference
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.tuning import ChunkedHead


def normal(*shape: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) * scale


@pytest.fixture
def small_chunks(monkeypatch):
    """Several chunks of rows and blocks of columns, the last of each not full."""
    small = ChunkedHead(rows=8, columns=64)
    linear, one_pass = (import_module(f"urt_kernels.{module}.triton") for module in ("linear_logprobs", "one_pass"))
    for module in (linear, one_pass):
        monkeypatch.setattr(module, "HEIGHT_STEP", 4)
    monkeypatch.setattr(linear, "chunked_forward", lambda *_: small)
    monkeypatch.setattr(linear, "chunked_backward", lambda *_: small)
    monkeypatch.setattr(one_pass, "one_pass", lambda *_, **__: small)


def head(device: str, *, num_rows: int = 19, vocabulary: int = 150, size: int = 16) -> tuple[Tensor, ...]:
    targets = torch.arange(num_rows) * 7 % vocabulary
    return tuple(
        tensor.to(device) for tensor in (normal(num_rows, size), normal(vocabulary, size), normal(vocabulary), targets)
    )


@pytest.mark.parametrize("trainable", [(True, True, True), (True, False, False), (False, True, True)])
@pytest.mark.parametrize("entropy", [False, True])
def test_values_and_gradients(device, small_chunks, trainable, entropy):
    *operands, targets = head(device)
    targets[2] = IGNORE_TARGET
    upstream = normal(3, len(targets)).to(device)
    outcomes = []
    for impl in ("triton", "reference"):
        leaves = [tensor.detach().requires_grad_(needs) for tensor, needs in zip(operands, trainable, strict=True)]
        hidden, weight, bias = leaves
        result = linear_token_logprobs(hidden, weight, targets, bias=bias, temperature=0.7, entropy=entropy, impl=impl)
        outputs = (
            [result.logprobs, result.lse] if result.entropy is None else [result.logprobs, result.lse, result.entropy]
        )
        needed = [leaf for leaf in leaves if leaf.requires_grad]
        gradients = torch.autograd.grad(outputs, needed, list(upstream[: len(outputs)]))
        outcomes.append((*outputs, *gradients, result.top1.float()))
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("num_rows", [0, 1])
def test_few_rows(device, small_chunks, num_rows):
    hidden, weight, _, targets = head(device, num_rows=num_rows)
    leaf = hidden.requires_grad_()
    results = [
        linear_token_logprobs(leaf, weight, targets, temperature=1.0, impl=impl).logprobs
        for impl in ("triton", "reference")
    ]
    torch.testing.assert_close(*results)
    results[0].sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.shape == hidden.shape


def test_bf16_operands_keep_fp32_logits(device):
    """With a real vocabulary and peaked logits: 1e-4 of fp64, where logits rounded to bf16 are off by up to 9e-2."""
    hidden, weight = normal(3, 64, scale=2.0).bfloat16(), normal(151936, 64, scale=0.5).bfloat16()
    targets = torch.tensor([0, 150000, 151935])
    expected = (hidden.double() @ weight.double().T).log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    arguments = (hidden.to(device), weight.to(device), targets.to(device))
    result = linear_token_logprobs(*arguments, temperature=1.0, impl="triton")
    assert (result.logprobs.cpu() - expected).abs().max() < 1e-4


def test_a_row_does_not_depend_on_its_neighbours(device, small_chunks):
    hidden, weight, bias, targets = head(device)
    together = linear_token_logprobs(hidden, weight, targets, bias=bias, temperature=1.0, entropy=True, impl="triton")
    for row in (0, 7, 8, 18):
        part = slice(row, row + 1)
        alone = linear_token_logprobs(
            hidden[part], weight, targets[part], bias=bias, temperature=1.0, entropy=True, impl="triton"
        )
        assert torch.equal(together.logprobs[part], alone.logprobs)
        assert together.entropy is not None
        assert alone.entropy is not None
        assert torch.equal(together.entropy[part], alone.entropy)


def test_fused_forward(device):
    fused = import_module("urt_kernels.linear_logprobs.fused")
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    hidden, weight, bias, targets = head(device, num_rows=130, vocabulary=1100, size=80)
    hidden, weight, bias = hidden.to(dtype), weight.to(dtype), bias.to(dtype)
    targets[2] = IGNORE_TARGET
    bias[5] = -torch.inf
    hidden[4, 0] = torch.nan
    assert fused.unsupported(hidden, weight) is None
    for entropy, shift in ((True, None), (True, bias), (False, bias)):
        ours = fused.forward(hidden, weight, shift, targets, 0.7, entropy)
        head_of = Head(weight, shift, 0.7, None, 1.0, None, None, None)
        theirs = reference.forward(hidden, head_of, targets, entropy)
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine.float(), other.float(), atol=2e-5, rtol=1e-5, equal_nan=True)


@pytest.mark.parametrize("aggregation", ["grpo", "dapo"])
def test_one_pass_equals_two_steps(device, small_chunks, aggregation):
    outcomes = []
    for impl in ("triton", "reference"):
        hidden, weight, bias, targets = head(device, num_rows=24)
        leaves = [tensor.requires_grad_() for tensor in (hidden, weight, bias)]
        rollout, reference_logprobs = (normal(number, 4, 6).to(device)[0] - 5.0 for number in (1, 2))
        mask = (torch.arange(24).reshape(4, 6) % 5 != 0).to(device)
        objective: dict[str, Any] = {"aggregation": aggregation, "kl_coef": 0.1, "clip_high": 0.3}
        result = linear_grpo_loss(
            hidden.view(4, 6, -1),
            weight,
            targets.view(4, 6),
            rollout,
            normal(4).to(device),
            mask,
            temperature=0.7,
            bias=bias,
            reference_logprobs=reference_logprobs,
            impl=impl,
            **objective,
        )
        gradients = torch.autograd.grad(result.loss * 3.0, leaves)
        outcomes.append((result.loss, result.policy_logprobs, *gradients, *result.sums))
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=2e-5)


def test_one_pass_has_the_bits_of_the_forward(device, small_chunks):
    hidden, weight, _, targets = head(device, num_rows=24)
    logprobs = linear_token_logprobs(hidden, weight, targets, temperature=1.0, impl="triton").logprobs.view(4, 6)
    result = linear_grpo_loss(
        hidden.view(4, 6, -1).requires_grad_(),
        weight,
        targets.view(4, 6),
        logprobs,
        normal(4).to(device),
        torch.ones(4, 6, dtype=torch.bool, device=device),
        temperature=1.0,
        impl="triton",
    )
    assert torch.equal(result.policy_logprobs, logprobs)
    assert result.sums.ratio_sum == 24
