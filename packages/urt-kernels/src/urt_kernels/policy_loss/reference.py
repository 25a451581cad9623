"""grpo_loss in plain PyTorch: the CPU kernel and the test oracle. Loss and gradient come from the same pass."""

from __future__ import annotations

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.policy_loss.objective import Tokens, metrics, slopes
from urt_kernels.policy_loss.settings import GRPOSettings


def forward(
    policy: Tensor,
    old: Tensor,
    rollout: Tensor | None,
    reference: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    normalizer: Tensor | None,
    settings: GRPOSettings,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(loss, d loss / d policy before the scale, scale = 1 / normaliser, metrics in the order of GRPOLoss)."""
    dtype = compute_dtype(policy)
    tokens = masked_tokens(old, rollout, reference, advantages, mask, settings.aggregation, dtype)
    inside = policy.reshape(-1)[tokens.rows].to(dtype)
    scale = inverse_normalizer(mask, settings.aggregation, normalizer, dtype)
    found = slopes(inside, None, tokens, settings)
    gradient = torch.zeros(mask.numel(), dtype=dtype, device=policy.device)
    gradient[tokens.rows] = found.policy
    return found.loss * scale, gradient.view(mask.shape), scale, metrics(inside, None, tokens, settings)


def masked_tokens(
    old: Tensor | None,
    rollout: Tensor | None,
    reference: Tensor | None,
    advantages: Tensor | None,
    mask: Tensor,
    aggregation: str,
    dtype: torch.dtype,
) -> Tokens:
    """The tokens of ``mask [B, T]``, with the weight that the aggregation gives them before the normaliser."""
    rows = mask.reshape(-1).nonzero()[:, 0]
    sequences = rows // max(1, mask.shape[1])

    def inside(values: Tensor | None) -> Tensor | None:
        return None if values is None else values.expand(mask.shape).reshape(-1)[rows].to(dtype)

    weights = torch.ones(len(rows), dtype=dtype, device=mask.device)
    if aggregation == "grpo":
        weights = weights / mask.sum(-1)[sequences]
    constants = (inside(old), inside(rollout), inside(reference), inside(advantages))
    return Tokens(*constants, weights, sequences, len(mask), rows)


def inverse_normalizer(mask: Tensor, aggregation: str, normalizer: Tensor | None, dtype: torch.dtype) -> Tensor:
    """1 / normaliser; where none is given, that of these tokens alone, and 0 where there are none."""
    num_tokens = mask.sum()
    if normalizer is None:
        own = {"grpo": mask.any(-1).sum(), "dapo": num_tokens, "dr_grpo": num_tokens.new_tensor(mask.numel())}
        normalizer = own[aggregation]
    inverse = 1.0 / normalizer.to(dtype)
    return torch.where((normalizer == 0) & (num_tokens == 0), 0.0, inverse)
