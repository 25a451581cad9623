"""Comparisons that no other program makes: python -m benchmarks.acceptance.checks <name> device=cuda [setting=value ...]

packed_rows: packed against padded; attention: one attention against SDPA; checkpoint: the newest of a folder, read back. Each prints a line
`FIGURES {...}` and ends with 1 where a bound is missed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.training.model import random_model
from benchmarks.training.rollout import Setting, make_rollout
from urt_core import Dialect, JudgeSpec
from urt_data.prepare import parse_values
from urt_train.config import Batching
from urt_train.model.policy import Policy
from urt_train.runtime.checkpoints.checkpoint import check_hash, newest_checkpoint, read_seal

FLOAT32_BOUND = 2e-4
"""Largest difference of a log-prob in float32 between two layouts or attentions of one model; sums in another order."""
BFLOAT16_BOUND = 1.02
"""Mean exp|difference| between layouts in bfloat16: the limit at which a run stops."""


def packed_rows(*, device: str, model: str) -> dict[str, float]:
    figures = {}
    for dtype in (torch.float32, torch.bfloat16):
        padded, gradient = pass_of(device, model, dtype, Batching.padded, "sdpa")
        packed, its_gradient = pass_of(device, model, dtype, Batching.shared_prefix, "sdpa")
        figures |= compared(str(dtype).removeprefix("torch."), padded, packed, gradient, its_gradient)
    return figures


def attention(*, device: str, model: str, attention: str) -> dict[str, float]:
    dtype = torch.bfloat16 if attention == "flash_attention_2" else torch.float32
    right, gradient = pass_of(device, model, dtype, Batching.shared_prefix, "sdpa")
    found, its_gradient = pass_of(device, model, dtype, Batching.shared_prefix, attention)
    return compared(str(dtype).removeprefix("torch."), right, found, gradient, its_gradient)


def compared(
    name: str, right: torch.Tensor, found: torch.Tensor, gradient: torch.Tensor, its_gradient: torch.Tensor
) -> dict[str, float]:
    error = (right.double() - found.double()).abs()
    parity, worst = float(error.exp().mean()), float(error.max())
    cosine = float(torch.nn.functional.cosine_similarity(gradient.double(), its_gradient.double(), dim=0))
    missed = parity > BFLOAT16_BOUND if name == "bfloat16" else worst > FLOAT32_BOUND
    if missed or not cosine > 0.99:
        print(f"MISSED in {name}: parity {parity:.5f}, worst {worst:.2e}, cosine of gradients {cosine:.5f}")
        raise SystemExit(1)
    return {
        f"{name} parity": round(parity, 6),
        f"{name} worst": float(f"{worst:.2e}"),
        f"{name} cosine of gradients": round(cosine, 6),
    }


def pass_of(
    device: str, model: str, dtype: torch.dtype, batching: Batching, attention: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probs of a fixed rollout, and the gradient that their sum gives the last block."""
    trained = random_model(model, device=device, dtype=dtype)
    spec = JudgeSpec(
        dialect=Dialect.V1, dimensions={}, min_pixels=1, max_pixels=1, num_frames=1, stage="acceptance", base="random"
    )
    policy = Policy(trained, None, None, spec=spec, batching=batching, attention=attention)
    setting = Setting(
        pixels=64 if device == "cpu" else 512, group_size=4, text_tokens=60, completion_tokens=24, ragged=True
    )
    batch = make_rollout(trained, setting).to(torch.device(device))
    logprobs = policy.token_logprobs(batch).logprobs
    logprobs.sum().backward()
    layers = policy.model.get_decoder().layers
    gradient = torch.cat(
        [parameter.grad.flatten() for parameter in layers[-1].parameters() if parameter.grad is not None]
    )
    return logprobs.detach()[batch.completion_mask].cpu(), gradient.detach().cpu()


def checkpoint(*, device: str, folder: str) -> dict[str, float]:
    newest = newest_checkpoint(Path(folder))
    if newest is None:
        raise SystemExit(f"{folder} has no checkpoint")
    seal = read_seal(newest)
    for name in seal.files:
        check_hash(newest, seal, name)
    return {
        "files": len(seal.files),
        "MB": round(sum(size for size, _ in seal.files.values()) / 1e6, 1),
        "step": seal.step,
    }


CHECKS: dict[str, Callable[..., dict[str, Any]]] = {
    "packed_rows": packed_rows,
    "attention": attention,
    "checkpoint": checkpoint,
}

if __name__ == "__main__":
    name, *settings = sys.argv[1:]
    figures = CHECKS[name](**{key: str(value) for key, value in parse_values(settings).items()})
    print(f"FIGURES {json.dumps(figures)}")
