"""The one-pass head in plain PyTorch: the CPU kernel and the test oracle.

The logits of a chunk of rows are kept until their log-probs, and with them the slopes of the objective, are known; they
then become the gradient. Nothing is computed twice: 6 N H V floating-point operations where forward and backward by
themselves take 8.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.linear_logprobs import reference as two_steps
from urt_kernels.linear_logprobs.chunks import spans
from urt_kernels.linear_logprobs.head import TILE_ROWS, Head
from urt_kernels.linear_logprobs.reference import VOCABULARY_BLOCK, Gradients, chunk_of, logits_gradient
from urt_kernels.linear_logprobs.running import RunningRows
from urt_kernels.one_pass.held import Held
from urt_kernels.one_pass.op import Pass
from urt_kernels.one_pass.plan import parts
from urt_kernels.one_pass.second_pass import upstream_of, with_second_pass
from urt_kernels.policy_loss.objective import Tokens, slopes
from urt_kernels.policy_loss.settings import GRPOSettings

WORKSPACE_BYTES = 16 * 2**20


def chunk_rows(vocabulary: int, itemsize: int) -> int:
    """Rows whose logits are kept at once: as many as the workspace holds, whole tiles of them, at most 1024."""
    return max(TILE_ROWS, min(1024, WORKSPACE_BYTES // (vocabulary * itemsize) // TILE_ROWS * TILE_ROWS))


def forward(
    hidden: Tensor, head: Head, targets: Tensor, tokens: Tokens, settings: GRPOSettings, options: Pass, held: Held
) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
    """(loss, log-probs, entropies, top-1 matches, gradients by hidden, weight and bias)."""
    dtype = compute_dtype(hidden, head.weight, head.bias)
    largest = chunk_rows(held.widest, dtype.itemsize)
    chunks = parts(tokens, together=options.together, largest=largest, step=TILE_ROWS)
    most = held.most_chunks(None if chunks is None else len(chunks))
    if chunks is None or most is None:
        return with_second_pass(two_steps, hidden, head, targets, tokens, settings, options, held)
    logprobs, entropies = (torch.empty(len(hidden), dtype=dtype, device=hidden.device) for _ in range(2))
    top1 = torch.empty_like(logprobs, dtype=torch.bool)
    loss = logprobs.new_zeros(())
    learns = options.needs[1]
    own_needs = (options.needs[0], learns and held.sums_here, options.needs[2])
    sums = Gradients.of(hidden, head, own_needs, dtype, into=options.weight_grad if held.sums_here else None)
    for rows, constants in chunks:
        count, part = rows.stop - rows.start, head.of_rows(rows)
        chunk = chunk_of(hidden, rows, head, dtype)
        running = RunningRows(targets[rows], dtype=dtype, entropy=options.entropy)
        kept = []
        for columns, weight in _blocks(held, head, dtype):
            logits = part.logits(chunk, weight, columns)[:count]
            running.add(logits, columns)
            kept.append(logits if options.differentiates else None)
        found = running.finish()
        found = found if options.entropy else found._replace(entropies=found.entropies.new_empty(0))
        found = held.whole_rows(found, targets[rows])
        logprobs[rows], top1[rows] = found.logprobs, found.top1
        if options.entropy:
            entropies[rows] = found.entropies
        own = found.entropies if options.entropy else None
        slope = slopes(found.logprobs, own, constants, settings, differentiate=options.differentiates)
        loss += slope.loss
        if not options.differentiates:
            continue
        upstream = upstream_of(slope, found, targets[rows], options)
        for (columns, weight), logits in zip(_blocks(held, head, dtype, learns=learns), kept, strict=True):
            assert logits is not None
            gradient = logits_gradient(logits, columns, upstream, part)
            sums.add(gradient, rows, columns, chunk, weight)
            if learns:
                held.add(gradient, chunk[:count])
        if sums.hidden is not None:
            held.sum_(sums.hidden[rows])
    for _ in range(most - len(chunks)):
        held.idle(differentiates=options.differentiates, learns=learns)
    by_hidden, by_weight, by_bias = sums.finish(hidden, weight_dtype=dtype, bias_dtype=dtype)
    return loss, logprobs, entropies, top1, (by_hidden, held.gradient(by_weight), by_bias)


def _blocks(held: Held, head: Head, dtype: torch.dtype, *, learns: bool = False) -> Iterator[tuple[slice, Tensor]]:
    """Columns and their rows of the weight, as products take them."""
    for first, weight in held.parts(learns=learns):
        for own in spans(len(weight), VOCABULARY_BLOCK):
            yield slice(first + own.start, first + own.stop), head.rounded(weight[own], dtype)
