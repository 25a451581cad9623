"""The Triton head with caps, temperatures, allowed tokens, mixed types, an entropy bonus and a buffer, against the reference."""

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from urt_kernels import linear_loss, linear_token_logprobs, token_logprobs
from urt_kernels.dispatch import Impl
from urt_kernels.tuning import ChunkedHead

ROWS, VOCABULARY, SIZE = 19, 150, 16


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Several chunks of rows and blocks of columns; 150 columns in rows that are padded to 192."""
    small = ChunkedHead(rows=8, columns=64)
    linear, one_pass = (import_module(f"urt_kernels.{module}.triton") for module in ("linear_logprobs", "one_pass"))
    for module in (linear, one_pass):
        monkeypatch.setattr(module, "HEIGHT_STEP", 4)
    monkeypatch.setattr(linear, "chunked_forward", lambda *_: small)
    monkeypatch.setattr(linear, "chunked_backward", lambda *_: small)
    monkeypatch.setattr(one_pass, "one_pass", lambda *_, **__: small)


TARGETS = torch.arange(ROWS) * 7 % VOCABULARY
ALLOWED = torch.rand(ROWS, VOCABULARY, generator=torch.Generator().manual_seed(1)) > 0.4
FORMS: dict[str, dict[str, Any]] = {
    "soft cap and scale": {"softcap": 5.0, "logit_scale": 0.5},
    "a temperature for each row": {"temperature": torch.linspace(0.5, 1.5, ROWS)},
    "allowed tokens": {"allowed": ALLOWED | torch.nn.functional.one_hot(TARGETS, VOCABULARY).bool()},
    "all of them": {
        "softcap": 5.0,
        "temperature": torch.linspace(0.5, 1.5, ROWS),
        "allowed": ALLOWED | torch.nn.functional.one_hot(TARGETS, VOCABULARY).bool(),
    },
}


def head_of(form: str, device: str, *, batched: bool) -> dict[str, Any]:
    head = {"temperature": 0.7, **FORMS[form]}
    moved = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in head.items()}
    return {name: value[None] if batched and isinstance(value, Tensor) else value for name, value in moved.items()}


def agree(outcomes: list[tuple[Tensor, ...]]) -> None:
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("form", FORMS)
def test_log_probs_and_entropies(device, form):
    outcomes = []
    for impl in ("triton", "reference"):
        leaves = [normal(ROWS, SIZE).to(device).requires_grad_(), normal(VOCABULARY, SIZE).to(device).requires_grad_()]
        result = linear_token_logprobs(
            leaves[0], leaves[1], TARGETS.to(device), bias=normal(VOCABULARY).to(device), entropy=True, impl=impl,
            **head_of(form, device, batched=False),
        )  # fmt: skip
        assert result.entropy is not None
        outputs = [result.logprobs, result.entropy, result.lse]
        upstream = list(normal(3, ROWS).to(device))
        outcomes.append((*outputs, result.top1.float(), *torch.autograd.grad(outputs, leaves, upstream)))
    agree(outcomes)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("objective", [{"surrogate": "nll"}, {"surrogate": "nll", "entropy_coef": 0.3}])
def test_one_pass(device, form, objective):
    outcomes = []
    for impl in ("triton", "reference"):
        leaves = [normal(1, ROWS, SIZE).to(device), normal(VOCABULARY, SIZE).to(device), normal(VOCABULARY).to(device)]
        leaves = [leaf.requires_grad_() for leaf in leaves]
        mask = torch.arange(ROWS, device=device)[None] % 5 != 0
        result = linear_loss(
            leaves[0], leaves[1], TARGETS.to(device)[None], bias=leaves[2], mask=mask, impl=impl,
            **objective, **head_of(form, device, batched=True),
        )  # fmt: skip
        outcomes.append((result.loss, result.policy_logprobs, *torch.autograd.grad(result.loss * 3.0, leaves)))
    agree(outcomes)


@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_the_entropy_bonus_against_fp64(device, spread):
    """Flat rows, whose entropy hardly moves, and peaked ones, with logits to 100, which fp32 tells apart
    by 8e-6, and entries whose exponential is 0."""
    gradients = []
    forms: tuple[tuple[Impl, torch.dtype], ...] = (("triton", torch.float32), ("reference", torch.float64))
    for impl, dtype in forms:
        leaves = [(normal(1, ROWS, SIZE) * spread).to(device, dtype), normal(VOCABULARY, SIZE).to(device, dtype)]
        leaves = [leaf.requires_grad_() for leaf in leaves]
        result = linear_loss(
            leaves[0], leaves[1], TARGETS.to(device)[None], surrogate="nll", entropy_coef=3.0, temperature=0.7, impl=impl
        )  # fmt: skip
        assert result.entropy is not None
        gradients.append((result.entropy, *torch.autograd.grad(result.loss, leaves)))
    for ours, theirs in zip(*gradients, strict=True):
        assert (ours.double() - theirs).norm() <= 1e-5 * (1.0 + theirs.norm())


@pytest.mark.parametrize(("together", "lengths"), [(1, [5, 3, 4, 7]), (2, [2, 3, 8, 6]), (1, [9, 10])])
def test_sequences_in_one_chunk_or_in_a_second_pass(device, together, lengths):
    """Chunks hold 8 rows: sequences of up to 8 stay together, pairs of 14 and sequences of 9 take a pass of their own."""
    offsets = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], device=device)
    outcomes = []
    for impl in ("triton", "reference"):
        leaves = [normal(ROWS, SIZE).to(device).requires_grad_(), normal(VOCABULARY, SIZE).to(device).requires_grad_()]
        result = linear_loss(
            leaves[0], leaves[1], TARGETS.to(device), surrogate=squared_means, cu_seqlens=offsets, temperature=0.7,
            sequences_together=together, impl=impl,
        )  # fmt: skip
        outcomes.append((result.loss, *torch.autograd.grad(result.loss, leaves)))
    agree(outcomes)


def squared_means(inputs: Any) -> Tensor:
    return (inputs.sequence_sums(inputs.policy_logprobs) / inputs.sequence_lengths())[inputs.sequences].square()


@pytest.mark.parametrize("num_rows", [0, 1])
def test_few_rows_of_the_one_pass(device, num_rows):
    leaves = [
        normal(1, num_rows, SIZE).to(device).requires_grad_(),
        normal(VOCABULARY, SIZE).to(device).requires_grad_(),
    ]
    targets = TARGETS[:num_rows].to(device)[None]
    losses = [
        linear_loss(leaves[0], leaves[1], targets, surrogate="nll", temperature=1.0, impl=impl).loss
        for impl in ("triton", "reference")
    ]
    agree([(loss, *torch.autograd.grad(loss, leaves)) for loss in losses])


def test_the_gradient_is_added_to_a_buffer(device):
    buffers, outcomes = [], []
    for impl in ("triton", "reference"):
        hidden, weight = normal(1, ROWS, SIZE).to(device).requires_grad_(), normal(VOCABULARY, SIZE).to(device)
        weight.requires_grad_()
        buffers.append(torch.ones(VOCABULARY, SIZE, device=device))
        result = linear_loss(
            hidden, weight, TARGETS.to(device)[None], surrogate="nll", temperature=1.0, weight_grad=buffers[-1],
            upstream=2.0, impl=impl,
        )  # fmt: skip
        outcomes.append((*torch.autograd.grad(result.loss * 2.0, hidden), buffers[-1]))
    agree(outcomes)


def test_a_temperature_for_each_row_of_logits(device):
    outcomes = []
    for impl in ("triton", "reference"):
        logits = normal(ROWS, VOCABULARY).to(device).requires_grad_()
        temperature = torch.linspace(0.5, 1.5, ROWS, device=device)
        result = token_logprobs(logits, TARGETS.to(device), temperature=temperature, entropy=True, impl=impl)
        assert result.entropy is not None
        outputs = [result.logprobs, result.entropy, result.lse]
        outcomes.append((*outputs, *torch.autograd.grad(outputs, logits, list(normal(3, ROWS).to(device)))))
    agree(outcomes)
