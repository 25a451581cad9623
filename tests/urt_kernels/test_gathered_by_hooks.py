"""A head whose weight is whole only while its module runs, forward and backward, as ZeRO-3 holds it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from urt_kernels import linear_distillation_loss, linear_loss, linear_token_logprobs

SHARDS = 3


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


class Head(torch.nn.Module):
    """From hidden states to a loss. Between its calls the parameter has no rows; shards of it have the numbers."""

    def __init__(self, form: str, *, by_hooks: bool) -> None:
        super().__init__()
        self.form = form
        self.weight = torch.nn.Parameter(normal(70, 8))
        self.shards = [shard.clone() for shard in self.weight.detach().chunk(SHARDS)]
        self.gradients: list[Tensor] = []
        self.gathered = 0
        if by_hooks:
            self.release()
            self.register_forward_pre_hook(lambda *_: self.gather())
            self.register_forward_hook(lambda *_: self.release())
            self.register_full_backward_pre_hook(lambda *_: self.gather())
            self.weight.register_post_accumulate_grad_hook(self.scatter)

    def gather(self) -> None:
        self.gathered += 1
        self.weight.data = torch.cat(self.shards)

    def release(self) -> None:
        self.weight.data = torch.empty(0, dtype=torch.float64)

    def scatter(self, weight: Tensor) -> None:
        assert weight.grad is not None
        self.gradients = list(weight.grad.chunk(SHARDS))
        weight.grad = None
        self.release()

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        if self.form == "one pass":
            return linear_loss(hidden, self.weight, targets, surrogate="nll", temperature=0.7).loss
        if self.form == "distillation":
            return linear_distillation_loss(hidden, self.weight, hidden.detach(), normal(70, 8), temperature=0.7).loss
        return linear_token_logprobs(hidden, self.weight, targets, temperature=0.7).logprobs.mean()


@pytest.mark.parametrize("form", ["one pass", "log-probs", "distillation"])
def test_the_weight_is_gone_between_forward_and_backward(form):
    targets = torch.arange(12).reshape(3, 4) * 5
    outcomes: list[Any] = []
    for by_hooks in (False, True):
        head, hidden = Head(form, by_hooks=by_hooks), normal(3, 4, 8).requires_grad_()
        loss = head(hidden, targets)
        if by_hooks:
            assert head.weight.numel() == 0
        loss.backward()
        if by_hooks:
            assert (head.weight.numel(), head.gathered) == (0, 2)
        outcomes.append((loss, hidden.grad, torch.cat(head.gradients) if by_hooks else head.weight.grad))
    for ours, theirs in zip(*outcomes, strict=True):
        assert torch.equal(ours, theirs)
