"""The one-pass head in plain PyTorch: the CPU kernel and the test oracle.

The logits of a chunk of rows are kept until their log-probs, and with them the slopes of the objective, are known; they
then become the gradient. Nothing is computed twice: 6 N H V floating-point operations where forward and backward by
themselves take 8.
"""

from __future__ import annotations

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.linear_logprobs import reference as two_steps
from urt_kernels.linear_logprobs.chunks import spans
from urt_kernels.linear_logprobs.head import TILE_ROWS, Head
from urt_kernels.linear_logprobs.reference import VOCABULARY_BLOCK, Gradients, chunk_of, logits_gradient
from urt_kernels.linear_logprobs.running import RunningRows
from urt_kernels.logprobs.upstream import Upstream
from urt_kernels.one_pass.op import Pass
from urt_kernels.one_pass.plan import parts
from urt_kernels.policy_loss.objective import Tokens, slopes
from urt_kernels.policy_loss.result import GRPOSettings

WORKSPACE_BYTES = 16 * 2**20


def chunk_rows(vocabulary: int, itemsize: int) -> int:
    """Rows whose logits are kept at once: as many as the workspace holds, whole tiles of them, at most 1024."""
    return max(TILE_ROWS, min(1024, WORKSPACE_BYTES // (vocabulary * itemsize) // TILE_ROWS * TILE_ROWS))


def forward(
    hidden: Tensor, head: Head, targets: Tensor, tokens: Tokens, settings: GRPOSettings, options: Pass
) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
    """(loss, log-probs, entropies, top-1 matches, gradients by hidden, weight and bias)."""
    dtype = compute_dtype(hidden, head.weight, head.bias)
    vocabulary = len(head.weight)
    largest = chunk_rows(vocabulary, dtype.itemsize)
    chunks = parts(tokens, together=options.together, largest=largest, step=TILE_ROWS)
    if chunks is None:
        return with_second_pass(two_steps, hidden, head, targets, tokens, settings, options)
    logprobs, entropies = (torch.empty(len(hidden), dtype=dtype, device=hidden.device) for _ in range(2))
    top1 = torch.empty_like(logprobs, dtype=torch.bool)
    loss = logprobs.new_zeros(())
    sums = Gradients.of(hidden, head, options.needs, dtype, into=options.weight_grad)
    for rows, constants in chunks:
        count, part = rows.stop - rows.start, head.of_rows(rows)
        chunk = chunk_of(hidden, rows, head, dtype)
        running = RunningRows(targets[rows], dtype=dtype, entropy=options.entropy)
        kept = []
        for columns in spans(vocabulary, VOCABULARY_BLOCK):
            logits = part.logits(chunk, head.rounded(head.weight[columns], dtype), columns)[:count]
            running.add(logits, columns)
            kept.append(logits if options.differentiates else None)
        logprobs[rows], entropies[rows], top1[rows], lse = running.finish()
        found = slopes(
            logprobs[rows],
            entropies[rows] if options.entropy else None,
            constants,
            settings,
            differentiate=options.differentiates,
        )
        loss += found.loss
        if not options.differentiates:
            continue
        upstream = Upstream(
            targets[rows],
            logprobs[rows],
            entropies[rows],
            lse,
            found.policy * options.assumed,
            None if found.entropy is None else found.entropy * options.assumed,
            None,
        )
        for columns, logits in zip(spans(vocabulary, VOCABULARY_BLOCK), kept, strict=True):
            assert logits is not None
            gradient = logits_gradient(logits, columns, upstream, part)
            sums.add(gradient, rows, columns, chunk, head.rounded(head.weight[columns], dtype))
    return loss, logprobs, entropies, top1, sums.finish(hidden, weight_dtype=dtype, bias_dtype=dtype)


def with_second_pass(
    implementation: object,
    hidden: Tensor,
    head: Head,
    targets: Tensor,
    tokens: Tokens,
    settings: GRPOSettings,
    options: Pass,
) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
    """Where tokens that depend on each other do not fit into one chunk: all log-probs first, the gradient by a second
    pass."""
    forward, backward = implementation.forward, implementation.backward  # pyright: ignore[reportAttributeAccessIssue]
    logprobs, entropies, top1, lse = forward(hidden, head, targets, options.entropy)
    own = entropies if options.entropy else None
    found = slopes(logprobs, own, tokens, settings, differentiate=options.differentiates)
    none = hidden.new_empty(0)
    gradients = (none, none.clone(), none.clone())
    if options.differentiates:
        upstream = Upstream(
            targets,
            logprobs,
            own,
            lse,
            found.policy * options.assumed,
            None if found.entropy is None else found.entropy * options.assumed,
            None,
        )
        gradients = backward(upstream, hidden, head, options.needs, into=options.weight_grad)
        gradients = (gradients[0], *(each.to(logprobs.dtype) for each in gradients[1:]))
    return found.loss, logprobs, entropies, top1, gradients
