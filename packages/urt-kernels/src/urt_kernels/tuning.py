"""Block sizes of the Triton kernels: pure functions of the vocabulary and the hidden size, never of the number of
tokens.

A size that followed the number of tokens would change the order of summation with the batch, and with it the bits of a
row. The sizes are chosen from register counts of code compiled for sm_90 (no spills, 128-bit loads, see the
cross-compilation tests); `apps/bench_kernels.py` times them on a GPU.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class RowBlocks:
    """How one row of the vocabulary is walked.

    >>> RowBlocks(block=4096, num_warps=4)
    """

    block: int
    """Columns per step, a power of two."""
    num_warps: int
    """Warps per program."""


def _table() -> dict[str, dict[str, int]]:
    path = os.environ.get("URT_KERNELS_TUNING")
    return json.loads(Path(path).read_text(encoding="utf-8")) if path else {}


TABLE = _table()
"""Sizes measured on this machine in place of those chosen here, by the name of the function that gives them:
{"one_pass": {"rows": 4096, "columns": 2048}}. Read from the file that URT_KERNELS_TUNING names, which
`apps/bench_kernels.py --sweep` writes."""


def forward_blocks(vocabulary: int) -> RowBlocks:
    """The walk of the statistics kernels: one program per row, four of them on an SM."""
    return _row_blocks("forward_blocks", vocabulary, block=4096, num_warps=4)


def statistics_blocks(columns: int) -> RowBlocks:
    """The fp32 logits of one product at once, as the one-pass form needs, 16 elements a thread."""
    block = power_of_two(columns)
    return RowBlocks(block=block, num_warps=min(16, max(4, block // 512)))


def backward_blocks(vocabulary: int) -> RowBlocks:
    """The steps of the gradient kernels: nothing is carried from one to the next."""
    return _row_blocks("backward_blocks", vocabulary, block=4096, num_warps=8)


def divergence_blocks(vocabulary: int) -> RowBlocks:
    """The walk of two rows at once: 64 registers a thread, four programs on an SM."""
    return _row_blocks("divergence_blocks", vocabulary, block=2048, num_warps=8)


def _row_blocks(name: str, vocabulary: int, *, block: int, num_warps: int) -> RowBlocks:
    """No more columns than there are, and four warps where these are few."""
    chosen = TABLE.get(name, {"block": block, "num_warps": num_warps})
    fits = min(power_of_two(vocabulary), chosen["block"])
    return RowBlocks(block=fits, num_warps=chosen["num_warps"] if fits == chosen["block"] else 4)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkedHead:
    """How the head's matrix products are cut up.

    >>> ChunkedHead(rows=4096, columns=2048)
    """

    rows: int
    """Tokens per product at most; fewer are cut into chunks of one height."""
    columns: int
    """Vocabulary entries per product."""


HEIGHT_STEP = 128
"""Heights of the products are multiples of it. A row's bits are the same at all of them where cuBLAS adds along the
hidden axis in one order at every height, which `apps/bench_kernels.py` checks as a gate; 4096 makes all heights one,
whatever cuBLAS does."""

FROZEN_WORKSPACE = 448 * 2**20
TRAINED_WORKSPACE = 1216 * 2**20
"""Exponentials that the one pass keeps. With a weight that learns each chunk reads and writes its whole fp32 gradient:
that many bytes let 4096 rows of 151,936 bf16 exponentials through at once, half of what the gradient itself takes at H
= 4096."""


def chunked_forward(vocabulary: int) -> ChunkedHead:
    """4096 x 2048 fp32 logits are 32 MiB; with the block of the weight they stay in the 50 MB of an H100's L2 cache."""
    chosen = TABLE.get("chunked_forward", {"rows": 4096, "columns": 2048})
    return ChunkedHead(rows=chosen["rows"], columns=min(vocabulary, chosen["columns"]))


def one_pass(vocabulary: int, itemsize: int, *, trains_weight: bool) -> ChunkedHead:
    """As many rows as the workspace holds exponentials of, at most 4096."""
    workspace = TRAINED_WORKSPACE if trains_weight else FROZEN_WORKSPACE
    rows = workspace // (vocabulary * itemsize) // HEIGHT_STEP * HEIGHT_STEP
    chosen = TABLE.get("one_pass", {"rows": 4096, "columns": 2048})
    return ChunkedHead(rows=max(HEIGHT_STEP, min(chosen["rows"], rows)), columns=min(vocabulary, chosen["columns"]))


def chunked_backward(vocabulary: int) -> ChunkedHead:
    """Many rows, because each chunk reads and writes the whole fp32 weight gradient; 4096 x 8192 fp32 + bf16 are 192
    MiB."""
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


def power_of_two(number: int) -> int:
    return 1 << max(4, (number - 1).bit_length())
