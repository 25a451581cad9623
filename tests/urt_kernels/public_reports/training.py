"""Reports of layouts and sizes, and of what autograd, parallel strategies and compilers do with a head."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import urt_kernels as kernels
from tests.urt_kernels.public_reports.cases import REPORTS, batch, case, head, near, normal, relative, right


@case(REPORTS, read=False, written=True)
def an_offset_past_two_to_the_31(written: bool, impl: Any, device: str) -> None:
    """Liger, mamba and TRL: 32-bit offsets of rows read and write elsewhere. Untouched pages of the buffer cost nothing."""
    buffer = torch.empty(2**31 + 2**16, dtype=torch.bfloat16, device=device)
    logits, targets = buffer.as_strided((2, 1000), (2**31, 1)), torch.tensor([3, 999], device=device)
    logits.copy_(normal(2, 1000))
    values = logits.cpu().double().requires_grad_()
    expected = values.log_softmax(-1).gather(-1, targets.cpu()[:, None]).sum()
    leaf = logits.detach().requires_grad_()
    view = leaf.view_as(leaf) if written else leaf
    found = kernels.token_logprobs(view, targets, temperature=1.0, inplace_backward=written, impl=impl).logprobs.sum()
    near(found, expected, 1e-5)
    (gradient,) = torch.autograd.grad(found, leaf)
    near(gradient, torch.autograd.grad(expected, values)[0], 5e-3)


@case(REPORTS)
def more_rows_than_a_grid_is_high(impl: Any, device: str) -> None:
    """Liger: rows on the second axis of a grid end at 65,535. Ours are on the first."""
    if impl == "reference":
        logits, targets = normal(70_000, 3), torch.arange(70_000) % 3
        near(kernels.token_logprobs(logits, targets, temperature=1.0).logprobs, right(logits, targets)[0], 1e-5)
        return
    kernel = type(import_module("urt_kernels.logprobs.triton").forward_kernel)
    grids: list[tuple[int, ...]] = []
    launch = kernel.__getitem__

    def recorded(self: Any, grid: tuple[int, ...]) -> Any:
        grids.append(grid)
        return launch(self, grid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "__getitem__", recorded)
        arguments = batch(device)
        kernels.linear_grpo_loss(**arguments, temperature=1.0, impl=impl).loss.backward()
        given = [arguments[name] for name in ("hidden", "weight", "targets")]
        kernels.linear_token_logprobs(*given, temperature=1.0, impl=impl).logprobs.sum().backward()
        logits = normal(4, 9).to(device).requires_grad_()
        kernels.token_logprobs(
            logits, torch.arange(4, device=device), temperature=1.0, impl=impl
        ).logprobs.sum().backward()
        kernels.group_advantages(normal(8).to(device), group_size=4, impl=impl)
    assert len(grids) >= 8
    assert all(len(grid) == 1 for grid in grids)


@case(REPORTS, **{"hidden states with strides": "hidden", "a weight that lies as H x V": "weight"})
def operands_that_are_not_contiguous(which: str, impl: Any, device: str) -> None:
    hidden, weight, targets = head(device)
    plain = kernels.linear_token_logprobs(hidden, weight, targets, temperature=1.0, impl=impl).logprobs
    if which == "hidden":
        hidden = torch.stack([hidden, hidden + 1.0], dim=1)[:, 0]
    else:
        weight = weight.T.contiguous().T
    assert not (hidden.is_contiguous() and weight.is_contiguous())
    found = kernels.linear_token_logprobs(hidden, weight, targets, temperature=1.0, impl=impl).logprobs
    near(found, plain, 1e-5)


@case(REPORTS, **{"cut off": "slice", "banned by the bias": "bias"})
def a_padded_vocabulary(how: str, impl: Any, device: str) -> None:
    """Embeddings that are tied and padded: the rows behind the vocabulary are no tokens."""
    hidden, weight, targets = head(device)
    table = torch.cat([weight, 10.0 * torch.ones(26, 16, device=device)]).requires_grad_()
    bias = torch.zeros(96, device=device).index_fill(0, torch.arange(70, 96, device=device), -torch.inf)
    whole: Any = (table[:70], None) if how == "slice" else (table, bias)
    found = kernels.linear_token_logprobs(
        hidden, whole[0], targets, bias=whole[1], temperature=1.0, entropy=True, impl=impl
    )
    logprobs, entropy = right(hidden.double() @ weight.double().T, targets)
    near(found.logprobs, logprobs, 1e-5)
    near(found.entropy, entropy, 1e-5)
    (gradient,) = torch.autograd.grad(found.logprobs.sum(), table)
    assert gradient[70:].abs().max() == 0


@case(REPORTS)
def nothing_at_all(impl: Any, device: str) -> None:
    """No rows, no tokens, no sequences."""
    hidden, weight, targets = head(device, rows=0)
    weight.requires_grad_()
    found = kernels.linear_token_logprobs(hidden, weight, targets, temperature=1.0, impl=impl).logprobs
    assert torch.equal(torch.autograd.grad(found.sum(), weight)[0], torch.zeros_like(weight))
    for shape in ((0, 3), (2, 0)):
        empty = torch.zeros(shape, device=device)
        loss = kernels.grpo_loss(empty, empty, torch.zeros(shape[0], device=device), empty.bool(), impl=impl).loss
        assert loss == 0


@case(REPORTS)
def groups_of_none_of_one_and_without_rewards(impl: Any, device: str) -> None:
    rewards = torch.tensor([1.0, torch.nan, torch.nan, 1.0, 0.0], device=device)
    offsets = torch.tensor([0, 0, 1, 3, 5], device=device)
    found = kernels.group_advantages(rewards, group_offsets=offsets, impl=impl)
    spread = 0.5 / (0.5**0.5 + 1e-4)
    near(found.advantages, torch.tensor([0.0, 0.0, 0.0, spread, -spread]), 1e-6)
    assert found.degenerate.tolist() == [True, True, True, False]


@case(REPORTS, **{"the head": ("hidden",), "the body": ("weight",), "both": ()})
def frozen(trained: tuple[str, ...], impl: Any, device: str) -> None:
    arguments = batch(device)
    whole = kernels.linear_grpo_loss(**arguments, temperature=1.0, impl=impl)
    expected = torch.autograd.grad(whole.loss, [arguments["hidden"], arguments["weight"]])
    for name in ("hidden", "weight"):
        arguments[name] = arguments[name].detach().requires_grad_(name in trained)
    found = kernels.linear_grpo_loss(**arguments, temperature=1.0, impl=impl)
    assert torch.equal(found.policy_logprobs, whole.policy_logprobs)
    assert found.loss.requires_grad == bool(trained)
    for name, gradient in zip(("hidden", "weight"), expected, strict=True):
        if name in trained:
            near(torch.autograd.grad(found.loss, arguments[name])[0], gradient, 1e-6)


@case(REPORTS)
def checkpointed_both_ways(impl: Any, device: str) -> None:
    hidden, weight, targets = head(device)
    gradients = []
    for reentrant in (None, True, False):
        leaves = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]

        def values(*leaves: Tensor) -> Tensor:
            return kernels.linear_token_logprobs(leaves[0], leaves[1], targets, temperature=0.7, impl=impl).logprobs

        found = values(*leaves) if reentrant is None else checkpoint(values, *leaves, use_reentrant=reentrant)
        assert isinstance(found, Tensor)
        found.sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for other in gradients[1:]:
        assert all(torch.equal(*pair) for pair in zip(gradients[0], other, strict=True))


@case(REPORTS)
def backward_twice(impl: Any, device: str) -> None:
    """retain_graph, and an upstream gradient other than 1: the stored gradient is scaled, not scaled again."""
    arguments = batch(device)
    leaves = [arguments["hidden"], arguments["weight"]]
    loss = kernels.linear_grpo_loss(**arguments, temperature=1.0, impl=impl).loss
    first, second = (torch.autograd.grad(loss * 3.0, leaves, retain_graph=True) for _ in range(2))
    single = torch.autograd.grad(loss, leaves)
    for one, other, third in zip(first, second, single, strict=True):
        assert torch.equal(one, other)
        near(one, 3.0 * third, 1e-6)


@case(REPORTS)
def written_over_the_logits(impl: Any, device: str) -> None:
    """The right gradient, or an error where something else still needs the logits."""
    leaf, targets = normal(3, 40).to(device).requires_grad_(), torch.arange(3, device=device)
    run = partial(kernels.token_logprobs, targets=targets, temperature=1.0, impl=impl)
    (expected,) = torch.autograd.grad(run(leaf * 1.0).logprobs.sum(), leaf)
    (found,) = torch.autograd.grad(run(leaf * 1.0, inplace_backward=True).logprobs.sum(), leaf)
    assert torch.equal(found, expected)
    logits = leaf * 1.0
    squares = logits.square().sum()
    run(logits, inplace_backward=True).logprobs.sum().backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        squares.backward()


@case(REPORTS)
def a_sum_over_many_micro_batches(impl: Any, device: str) -> None:
    """Liger added the weight's gradient up in the weight's type: it drifted with the number of chunks. Half precision
    in place of bf16, whose casts the interpreter truncates."""
    weight = normal(64, 16).half().to(device).requires_grad_()
    total, exact = torch.zeros(64, 16, device=device), torch.zeros(64, 16, dtype=torch.float64)
    for index in range(16):
        hidden, targets = normal(4, 16, seed=index).half(), (torch.arange(4) + 4 * index) % 64
        kernels.linear_loss(
            hidden[None].to(device), weight, targets[None].to(device), surrogate="nll", temperature=1.0, num_tokens=4,
            weight_grad=total, upstream=1.0, impl=impl,
        )  # fmt: skip
        leaf = weight.detach().cpu().double().requires_grad_()
        loss = -(hidden.double() @ leaf.T).log_softmax(-1).gather(-1, targets[:, None]).sum() / 4
        exact += torch.autograd.grad(loss, leaf)[0]
    assert relative(total, exact) < 2e-4


@case(REPORTS)
def gradients_of_each_operation(impl: Any, device: str) -> None:
    """Log-prob, entropy and log-sum-exp of logits and of a head, and the loss, against fp64."""
    hidden, weight, targets = head(device)
    leaves = [hidden.requires_grad_(), weight.requires_grad_()]
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    advantages, mask = torch.tensor([1.0, -0.5], device=device), torch.ones(2, 3, device=device)

    def loss(found: Any) -> Tensor:
        rollout = found.logprobs.detach().float() - 0.1
        kind = {"impl": impl} if found.logprobs.dtype == torch.float32 else {}
        own = kernels.grpo_loss(found.logprobs.view(2, 3), rollout.view(2, 3), advantages, mask, **kind).loss
        return own + found.entropy.mean() - 0.3 * found.lse.mean()

    truth = kernels.token_logprobs(exact[0] @ exact[1].T, targets, temperature=0.7, entropy=True, impl="reference")
    expected = torch.autograd.grad(loss(truth), exact)
    for found in (
        kernels.token_logprobs(leaves[0] @ leaves[1].T, targets, temperature=0.7, entropy=True, impl=impl),
        kernels.linear_token_logprobs(leaves[0], leaves[1], targets, temperature=0.7, entropy=True, impl=impl),
    ):
        for ours, theirs in zip(torch.autograd.grad(loss(found), leaves), expected, strict=True):
            near(ours, theirs, 1e-5)


@case(REPORTS)
def operands_of_two_types(impl: Any, device: str) -> None:
    """TRL and prime-rl keep the head in fp32 over a bf16 body, and the reverse: each gradient has its operand's type."""
    hidden, weight, targets = head(device)
    for kinds in ((torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)):
        leaves = [each.to(kind).requires_grad_() for each, kind in zip((hidden, weight), kinds, strict=True)]
        found = kernels.linear_token_logprobs(leaves[0], leaves[1], targets, temperature=1.0, impl=impl).logprobs
        near(found, right(leaves[0].detach().double() @ leaves[1].detach().double().T, targets)[0], 1e-4)
        gradients = torch.autograd.grad(found.sum(), leaves)
        assert tuple(gradient.dtype for gradient in gradients) == kinds


@case(REPORTS)
def a_weight_that_is_spread_over_ranks(impl: Any, device: str) -> None:
    """TRL: "got mixed torch.Tensor and DTensor". The error names what takes such a weight."""

    class Shards(torch.Tensor):
        placements = ()

    hidden, weight, targets = head(device)
    with pytest.raises(ValueError, match=r"weight is a DTensor: give it to urt_kernels\.sharded"):
        kernels.linear_token_logprobs(hidden, weight.as_subclass(Shards), targets, temperature=1.0, impl=impl)


@case(REPORTS)
def compiled_to_one_graph(impl: Any, device: str) -> None:
    """torch.compile(fullgraph=True) of logits, head with and without a mask, loss and one pass."""
    arguments = batch(device)
    hidden, weight, targets, rollout, advantages, mask = arguments.values()
    logits = (hidden @ weight.T).detach().requires_grad_()
    forms: list[tuple[Callable[..., Tensor], Tensor]] = [
        (lambda x: kernels.token_logprobs(x, targets, temperature=0.7, impl=impl).logprobs.sum(), logits),
        (
            lambda x: kernels.linear_token_logprobs(x, weight, targets, temperature=0.7, impl=impl).logprobs.sum(),
            hidden,
        ),
        (
            lambda x: kernels.linear_token_logprobs(
                x, weight, targets, temperature=0.7, mask=mask, impl=impl
            ).logprobs.sum(),
            hidden,
        ),
        (lambda x: kernels.grpo_loss(x, rollout, advantages, mask, impl=impl).loss, rollout.clone().requires_grad_()),
        (
            lambda x: (
                kernels.linear_grpo_loss(
                    x, weight, targets, rollout, advantages, mask, temperature=0.7, num_sequences=2, impl=impl
                ).loss
            ),
            hidden,
        ),
    ]
    for form, leaf in forms:
        torch._dynamo.reset()
        # A mask's number of rows is data; a captured graph holds it as an unknown.
        with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
            compiled = torch.compile(form, backend="aot_eager", fullgraph=True)(leaf)
        expected = form(leaf)
        near(compiled, expected, 1e-5)
        near(torch.autograd.grad(compiled, leaf)[0], torch.autograd.grad(expected, leaf)[0], 1e-5)
