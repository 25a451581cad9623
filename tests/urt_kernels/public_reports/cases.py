"""The two tables of cases, and what their checks share."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

Check = Callable[[Any, str], None]
REPORTS: dict[str, Check] = {}
PROBES: dict[str, Check] = {}


def case(table: dict[str, Check], **named: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Enter a check in the table under the name of its function, or once for each name with an argument of its own."""

    def enter(check: Callable[..., None]) -> Callable[..., None]:
        own = {f"{check.__name__}, {name}": partial(check, value) for name, value in named.items()}
        table.update(own or {check.__name__: check})
        return check

    return enter


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))) * scale


def right(logits: Tensor, targets: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies in fp64."""
    log_p = (logits.cpu().double() / temperature).log_softmax(-1)
    terms = torch.where(log_p.isfinite(), log_p.exp() * log_p, 0.0)
    return log_p.gather(-1, targets.cpu().long()[..., None])[..., 0], -terms.sum(-1)


def near(ours: Tensor | None, theirs: Tensor, bound: float) -> None:
    assert ours is not None
    difference = (ours.detach().cpu().double() - theirs.detach().cpu().double()).abs().max()
    assert difference <= bound, f"{difference} from the right value"


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.cpu().double() - theirs.cpu().double()).norm() / theirs.double().norm())


def head(device: str, *, rows: int = 6, vocabulary: int = 70, size: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    targets = (torch.arange(rows) * 7 % vocabulary).to(device)
    return normal(rows, size).to(device), normal(vocabulary, size).to(device), targets


def batch(device: str) -> dict[str, Any]:
    """Hidden states of two sequences of three tokens, and what a step of GRPO has beside them."""
    hidden, weight, targets = head(device)
    return {
        "hidden": hidden.view(2, 3, -1).requires_grad_(),
        "weight": weight.requires_grad_(),
        "targets": targets.view(2, 3),
        "rollout_logprobs": normal(2, 3).to(device) - 4.0,
        "advantages": torch.tensor([1.0, -0.5], device=device),
        "completion_mask": torch.ones(2, 3, dtype=torch.bool, device=device),
    }
