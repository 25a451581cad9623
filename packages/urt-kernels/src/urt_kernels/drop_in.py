"""Functions with the argument order and the results of other trainers' own, for a one-line change there.

| trainer | its function | here |
| --- | --- | --- |
| TRL 1.16 | ``trl.trainer.utils.selective_log_softmax`` | `trl_selective_logprobs` |
| | ``trl.trainer.utils.selective_log_softmax_and_entropy`` | `trl_selective_logprobs_and_entropy` |
| | ``trl.kernels.chunked_logprob.ChunkedLogProbFunction.apply`` | `trl_chunked_logprobs` |
| verl | ``verl.utils.torch_functional.logprobs_from_logits`` | `verl_logprobs_from_logits` |
| | ``verl.utils.kernel.linear_cross_entropy`` | `verl_linear_cross_entropy` |
| slime | ``slime.utils.ppo_utils.calculate_log_probs_and_entropy`` | `slime_logprobs_and_entropy` |
| OpenRLHF | ``openrlhf.models.utils.log_probs_from_logits`` | `openrlhf_logprobs_from_logits` |

Log-probs and entropies are fp32 whatever the logits are, and gradients exact; the logits are never changed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from urt_kernels.linear_logprobs import linear_token_logprobs
from urt_kernels.logprobs import IGNORE_TARGET, token_logprobs
from urt_kernels.shapes import Float, Int


def trl_selective_logprobs(
    logits: Float[Tensor, "*N V"],
    index: Int[Tensor, "*_"],
    temperature: float = 1.0,
    row_mask: Tensor | None = None,
) -> Float[Tensor, "*_"]:
    """Log-probs at ``index``, one for each row, or K with one more axis; 0 where ``row_mask`` is 0."""
    if index.dim() == logits.dim() - 1:
        return token_logprobs(logits, _ignored(index, row_mask), temperature=temperature).logprobs
    row_mask = None if row_mask is None else row_mask.any(-1) if row_mask.dim() == index.dim() else row_mask
    first = _ignored(index[..., 0], row_mask)
    lse = token_logprobs(logits, first, temperature=temperature).lse
    chosen = logits.gather(-1, index).to(lse.dtype) / temperature - lse[..., None]
    return chosen if row_mask is None else torch.where((row_mask != 0)[..., None], chosen, 0.0)


def trl_selective_logprobs_and_entropy(
    logits: Float[Tensor, "*N V"],
    index: Int[Tensor, "*N"],
    entropy_requires_grad: bool = True,
    temperature: float = 1.0,
    row_mask: Tensor | None = None,
) -> tuple[Float[Tensor, "*N"], Float[Tensor, "*N"]]:
    """(log-probs, entropies); the entropies without gradient where it is not asked for."""
    result = token_logprobs(logits, _ignored(index, row_mask), temperature=temperature, entropy=True)
    assert result.entropy is not None
    return result.logprobs, result.entropy if entropy_requires_grad else result.entropy.detach()


def trl_chunked_logprobs(
    hidden: Float[Tensor, "N H"],
    weight: Float[Tensor, "V H"],
    bias: Float[Tensor, " V"] | None,
    targets: Int[Tensor, " N"],
    temperature: float,
    chunk_size: int,
    final_logit_softcapping: float | None = None,
    logit_scale: float = 1.0,
    outputs: tuple[str, ...] = ("entropy", "is_top1"),
) -> tuple[Tensor, Tensor | None, None, None, Tensor | None]:
    """(log-probs, entropies, None, None, top-1 matches); the head chooses its own chunks, ``chunk_size`` is not read.

    A tie for the highest logit is a top-1 match here, and TRL's only where no earlier token ties.
    """
    if unknown := set(outputs) - {"log_probs", "entropy", "is_top1"}:
        raise ValueError(f"outputs has {', '.join(sorted(unknown))}: here are entropy and is_top1.")
    result = linear_token_logprobs(
        hidden,
        weight,
        targets,
        temperature=temperature,
        bias=bias,
        softcap=final_logit_softcapping,
        logit_scale=logit_scale,
        entropy="entropy" in outputs,
    )
    return result.logprobs, result.entropy, None, None, result.top1 if "is_top1" in outputs else None


def verl_logprobs_from_logits(
    logits: Float[Tensor, "*N V"], labels: Int[Tensor, "*N"], inplace_backward: bool = True
) -> Float[Tensor, "*N"]:
    """Log-probs of the labels; with ``inplace_backward`` the gradient may overwrite the logits."""
    return token_logprobs(logits, labels, temperature=1.0, inplace_backward=inplace_backward).logprobs


def verl_linear_cross_entropy(
    hidden: Float[Tensor, "*N H"],
    weight: Float[Tensor, "V H"],
    labels: Int[Tensor, "*N"],
    temperature: float = 1.0,
    reduction: str = "none",
    dist_process_group: dist.ProcessGroup | None = None,
) -> tuple[Tensor, Tensor]:
    """(log-probs, entropies), reduced as asked for; with a group, ``weight`` is this rank's equal part of the vocabulary."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction={reduction!r}: allowed are none, mean, sum.")
    if dist_process_group is None:
        result: Any = linear_token_logprobs(hidden, weight, labels, temperature=temperature, entropy=True)
    else:
        from urt_kernels.sharded import vocabulary_parallel_token_logprobs

        result = vocabulary_parallel_token_logprobs(
            hidden,
            weight,
            labels,
            vocabulary=len(weight) * dist.get_world_size(dist_process_group),
            temperature=temperature,
            group=dist_process_group,
            entropy=True,
        )
    reduce = {"none": lambda values: values, "mean": torch.mean, "sum": torch.sum}[reduction]
    return reduce(result.logprobs), result.entropy if reduction == "none" else reduce(result.entropy)


def slime_logprobs_and_entropy(
    logits: Float[Tensor, "N V"],
    tokens: Int[Tensor, " N"],
    tp_group: dist.ProcessGroup | None,
    with_entropy: bool = False,
    chunk_size: int = -1,
) -> tuple[Float[Tensor, "N 1"], Float[Tensor, " N"] | None]:
    """(log-probs ``[N, 1]``, entropies or None); one pass without chunks, ``chunk_size`` is not read."""
    if tp_group is not None and dist.get_world_size(tp_group) > 1:
        raise ValueError(
            f"tp_group has {dist.get_world_size(tp_group)} ranks: logits of a part of the vocabulary are not taken;"
            " give hidden states to urt_kernels.sharded.vocabulary_parallel_token_logprobs."
        )
    result = token_logprobs(logits, tokens, temperature=1.0, entropy=with_entropy)
    return result.logprobs[:, None], result.entropy


def openrlhf_logprobs_from_logits(
    logits: Float[Tensor, "*N V"], labels: Int[Tensor, "*N"], temperature: float = 1.0
) -> Float[Tensor, "*N"]:
    """Log-probs of the labels under softmax(logits / temperature); theirs divides the logits in place."""
    return token_logprobs(logits, labels, temperature=temperature).logprobs


def _ignored(index: Tensor, row_mask: Tensor | None) -> Tensor:
    return index if row_mask is None else index.masked_fill(row_mask == 0, IGNORE_TARGET)
