"""The tuning table: every candidate of rows, columns and blocks timed, the fastest written down.

    URT_KERNELS_TUNING=outputs/kernels/tuning.json python ...     # urt_kernels then takes these sizes

A candidate that does not compile or does not fit is a row with its reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.kernels.timing import measure
from urt_kernels import linear_loss, linear_token_logprobs, token_logprobs, tuning

CANDIDATES: dict[str, list[dict[str, int]]] = {
    "forward_blocks": [
        {"block": block, "num_warps": warps}
        for block, warps in ((4096, 4), (8192, 8), (4096, 8), (2048, 4), (8192, 16))
    ],
    "backward_blocks": [{"block": block, "num_warps": warps} for block, warps in ((4096, 8), (8192, 8), (2048, 4))],
    "chunked_forward": [
        {"rows": rows, "columns": columns} for rows in (1024, 2048, 4096) for columns in (2048, 4096, 8192)
    ],
    "one_pass": [{"rows": rows, "columns": columns} for rows in (1024, 2048, 4096) for columns in (2048, 4096, 8192)],
}
"""By the function of urt_kernels.tuning whose sizes they are."""


def sweep(
    device: torch.device,
    *,
    num_rows: int,
    vocabulary: int,
    size: int,
    repetitions: int,
    candidates: dict[str, list[dict[str, int]]] = CANDIDATES,
) -> dict[str, Any]:
    """{"times": {name: [{sizes..., "ms": ...}]}, "table": {name: the fastest sizes}}"""
    times: dict[str, list[dict[str, Any]]] = {}
    before = dict(tuning.TABLE)
    try:
        for name, sizes in candidates.items():
            function = operation(name, device, num_rows=num_rows, vocabulary=vocabulary, size=size)
            times[name] = list(timed(name, sizes, function, device, repetitions))
    finally:
        tuning.TABLE.clear()
        tuning.TABLE.update(before)
    table = {
        name: {key: value for key, value in min(done, key=lambda row: row["ms"]).items() if key != "ms"}
        for name, rows in times.items()
        if (done := [row for row in rows if "ms" in row])
    }
    return {"times": times, "table": table}


def timed(
    name: str, candidates: list[dict[str, int]], function: Callable[[], object], device: torch.device, repetitions: int
) -> Iterator[dict[str, Any]]:
    for sizes in candidates:
        tuning.TABLE[name] = sizes
        try:
            function()
            median = measure({name: function}, device=device, repetitions=repetitions)[name].median
        except (RuntimeError, ValueError) as reason:
            yield {**sizes, "failed": str(reason).partition("\n")[0][:120]}
        else:
            yield {**sizes, "ms": median}


def operation(name: str, device: torch.device, *, num_rows: int, vocabulary: int, size: int) -> Callable[[], object]:
    """What runs with the sizes of ``name``, through the Triton implementation."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    generator = torch.Generator(device).manual_seed(0)
    targets = torch.randint(0, vocabulary, (num_rows,), generator=generator, device=device)
    if name in ("forward_blocks", "backward_blocks"):
        logits = torch.randn(num_rows, vocabulary, generator=generator, device=device, dtype=dtype).requires_grad_()
        if name == "forward_blocks":
            return lambda: token_logprobs(logits, targets, temperature=0.9, entropy=True, impl="triton")
        return lambda: torch.autograd.grad(
            token_logprobs(logits, targets, temperature=0.9, impl="triton").logprobs.sum(), logits
        )
    hidden = torch.randn(1, num_rows, size, generator=generator, device=device, dtype=dtype).requires_grad_()
    weight = torch.randn(vocabulary, size, generator=generator, device=device, dtype=dtype).requires_grad_()
    if name == "chunked_forward":
        return lambda: linear_token_logprobs(hidden[0], weight, targets, temperature=0.9, impl="triton")
    return lambda: torch.autograd.grad(
        linear_loss(hidden, weight, targets[None], surrogate="nll", temperature=0.9, impl="triton").loss,
        [hidden, weight],
    )


def write_table(result: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result["table"], indent=2) + "\n", encoding="utf-8")
    times = path.with_suffix(".times.json")
    times.write_text(json.dumps(result["times"], indent=2) + "\n", encoding="utf-8")
