"""The loss head of a trainer of language models: log-probs, advantages and loss, exact in fp32 and independent of the
batch.

Shape letters: ``P`` prompts, ``G`` group, ``B`` sequences, ``T`` tokens, ``N`` rows (any leading axes), ``V`` vocabulary,
``H`` hidden. Every operation is one function here and one ``torch.library`` op under ``torch.ops.urt_kernels``; heads
that ranks hold in parts, or with an adapter, have theirs in `urt_kernels.sharded`.
"""

from urt_kernels.advantages import GroupAdvantages, group_advantages
from urt_kernels.dispatch import triton_available
from urt_kernels.distillation import (
    Distillation,
    linear_distillation_loss,
    linear_top_k_distillation_loss,
)
from urt_kernels.linear_logprobs import linear_token_logprobs
from urt_kernels.logprobs import IGNORE_TARGET, TokenLogprobs, token_logprobs
from urt_kernels.one_pass import LinearGRPOLoss, LinearLoss, linear_grpo_loss, linear_loss
from urt_kernels.policy_loss import GRPOLoss, grpo_loss
from urt_kernels.surrogates import SurrogateInputs

__all__ = [
    "IGNORE_TARGET",
    "Distillation",
    "GRPOLoss",
    "GroupAdvantages",
    "LinearGRPOLoss",
    "LinearLoss",
    "SurrogateInputs",
    "TokenLogprobs",
    "group_advantages",
    "grpo_loss",
    "linear_distillation_loss",
    "linear_grpo_loss",
    "linear_loss",
    "linear_token_logprobs",
    "linear_top_k_distillation_loss",
    "token_logprobs",
    "triton_available",
]
