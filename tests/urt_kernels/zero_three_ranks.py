"""One rank of test_zero_three.py: a head under DeepSpeed's ZeRO-3 beside the whole one, as lines "difference NAME VALUE"."""

import os
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from urt_kernels import linear_loss, linear_token_logprobs

VOCABULARY, SIZE = 70, 8


class Head(torch.nn.Module):
    """From hidden states to a loss; between its calls the parameter has no rows."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.weight = torch.nn.Parameter(normal(VOCABULARY, SIZE, seed=0))

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        if self.form == "one_pass":
            return linear_loss(hidden, self.weight, targets, surrogate="nll", temperature=0.7).loss
        return -linear_token_logprobs(hidden, self.weight, targets, temperature=0.7).logprobs.mean()


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def of_rank(rank: int) -> tuple[Tensor, Tensor]:
    return normal(3, 4, SIZE, seed=1 + rank).requires_grad_(), (torch.arange(12).reshape(3, 4) * 5 + rank) % VOCABULARY


def main(rank: int, ranks: int, place: str) -> None:
    os.environ.update(DS_ACCELERATOR="cpu", RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK=str(rank))
    import deepspeed
    from deepspeed.utils import safe_get_full_grad

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=place, rank=rank, world_size=ranks)
    deepspeed.init_distributed(dist_backend="gloo", auto_mpi_discovery=False)  # takes the group that there is
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "train_batch_size": ranks,
        "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0},
        "zero_allow_untested_optimizer": True,
    }
    for form in ("one_pass", "log_probs"):
        whole = Head(form)
        own_hidden, own_targets = of_rank(rank)
        losses = [whole(*of_rank(each)) for each in range(ranks)]
        (sum_of_gradients,) = torch.autograd.grad(torch.stack(losses).sum(), whole.weight)
        (by_hidden,) = torch.autograd.grad(whole(own_hidden, own_targets), own_hidden)

        head = Head(form)
        engine: Any = deepspeed.initialize(
            model=head, optimizer=torch.optim.SGD(head.parameters(), lr=0.1), config=config, dist_init_required=False
        )[0]
        hidden, targets = of_rank(rank)
        assert head.weight.numel() == 0
        loss = engine(hidden, targets)
        assert head.weight.numel() == 0
        engine.backward(loss)
        assert hidden.grad is not None
        pairs = {
            "loss": (loss, losses[rank]),
            "hidden": (hidden.grad, by_hidden),
            "weight": (safe_get_full_grad(head.weight), sum_of_gradients / ranks),
        }
        for name, (ours, theirs) in pairs.items():
            print("difference", f"{form}_{name}", float((ours - theirs).abs().max()))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
