"""An objective: SAPO (arXiv 2511.20347), a soft gate on the ratio in place of a clip.

urt-train stage=grpo grpo.surrogate=sapo_objective:sapo
"""

import torch
from torch import Tensor

from urt_kernels import SurrogateInputs

TAU_GOOD, TAU_BAD = 1.0, 1.05  # the paper's; a larger one for negative advantages damps them more


def sapo(inputs: SurrogateInputs) -> Tensor:
    """-(4 / tau) sigmoid(tau (r - 1)) A: the slope at r = 1 is that of the plain ratio, and it fades where the policy
    has moved."""
    advantages = inputs.needed("advantages")
    ratio = inputs.log_ratios().clamp(-20.0, 20.0).exp()
    tau = torch.full_like(advantages, TAU_BAD).masked_fill(advantages > 0, TAU_GOOD)
    return -inputs.importance() * (4.0 / tau) * torch.sigmoid(tau * (ratio - 1.0)) * advantages
