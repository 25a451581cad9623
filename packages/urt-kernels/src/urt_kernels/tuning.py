"""Block sizes of the Triton kernels: pure functions of the vocabulary and the hidden size, never of the number of tokens.

A size that followed the number of tokens would change the order of summation with the batch, and with it the bits of a row.
The sizes are chosen from register counts of code compiled for sm_90 (no spills, 128-bit loads, see the cross-compilation
tests); `apps/bench_kernels.py` times them on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class RowBlocks:
    """How one row of the vocabulary is walked.

    >>> RowBlocks(block=8192, num_warps=8)
    """

    block: int
    """Columns per step, a power of two."""
    num_warps: int
    """Warps per program."""


def forward_blocks(vocabulary: int) -> RowBlocks:
    """The walk of the statistics kernels: one program per row."""
    block = min(_power_of_two(vocabulary), 8192)
    return RowBlocks(block=block, num_warps=8 if block >= 4096 else 4)


def statistics_blocks(columns: int) -> RowBlocks:
    """The fp32 logits of one product at once, as the one-pass form needs; 16 warps, for 8 would hold 143 registers each."""
    block = _power_of_two(columns)
    return RowBlocks(block=block, num_warps=16 if block >= 8192 else 4)


def backward_blocks(vocabulary: int) -> RowBlocks:
    """The tiles of the gradient kernels: one program per row and step, nothing is carried from step to step."""
    block = min(_power_of_two(vocabulary), 4096)
    return RowBlocks(block=block, num_warps=8 if block >= 4096 else 4)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkedHead:
    """How the head's matrix products are cut up.

    >>> ChunkedHead(rows=1024, columns=8192)
    """

    rows: int
    """Tokens per product; the last chunk is padded to it."""
    columns: int
    """Vocabulary entries per product."""


WORKSPACE_BYTES = 448 * 2**20


def chunked_forward(vocabulary: int, itemsize: int) -> ChunkedHead:
    """For the forward and the one-pass form alike, so that both give a row the same bits.

    1024 x 8192 fp32 logits are 32 MiB: they fit in the L2 cache of an H100, and the product fills its SMs about twice. The
    one-pass form keeps the probabilities of a chunk, in the operands' type: fewer rows where those would be too large.
    """
    rows = 1024
    while rows > 128 and rows * vocabulary * itemsize > WORKSPACE_BYTES:
        rows //= 2
    return ChunkedHead(rows=rows, columns=min(vocabulary, 8192))


def chunked_backward(vocabulary: int) -> ChunkedHead:
    """Many rows, because each chunk reads and writes the whole fp32 weight gradient; 4096 x 8192 fp32 + bf16 are 192 MiB."""
    return ChunkedHead(rows=4096, columns=min(vocabulary, 8192))


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedTile:
    """The tile of the fused forward.

    >>> FusedTile(rows=128, columns=256, inner=64, num_splits=16, num_warps=8, num_stages=3)
    """

    rows: int
    columns: int
    inner: int
    """Elements of the hidden axis per step."""
    num_splits: int
    """Parts of the vocabulary, each walked by its own programs."""
    num_warps: int
    num_stages: int


def fused_forward(vocabulary: int) -> FusedTile:
    """16 splits: 1024 tokens already give 128 programs, and the partial statistics of a token take 192 bytes."""
    num_splits = min(16, cover(vocabulary, 256))
    return FusedTile(rows=128, columns=256, inner=64, num_splits=num_splits, num_warps=8, num_stages=3)


def cover(length: int, size: int) -> int:
    """How many blocks of `size` cover `length`.

    >>> cover(9, 4)
    3
    """
    return -(-length // size)


def _power_of_two(number: int) -> int:
    return 1 << max(4, (number - 1).bit_length())
