"""Which implementation runs: the only place that looks at the device.

``"auto"`` takes Triton on a CUDA device where Triton is installed and the reference everywhere else. ``"triton"`` on a
CPU tensor means Triton's interpreter (``TRITON_INTERPRET=1`` in the environment before the first kernel is imported).
"""

from __future__ import annotations

import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Literal

import torch

Impl = Literal["auto", "reference", "triton"]
IMPLS: tuple[Impl, ...] = ("auto", "reference", "triton")


# Read once: a compiler that traces a call sees two constants.
_TRITON_INSTALLED = find_spec("triton") is not None
_INTERPRETING = os.environ.get("TRITON_INTERPRET") == "1"
_said: set[str] = set()


def triton_available() -> bool:
    """Whether Triton is installed; it is not imported to find out."""
    return _TRITON_INSTALLED


def interpreting() -> bool:
    """Whether Triton kernels run in the CPU interpreter of this process."""
    return _INTERPRETING


def resolve(impl: str, device: torch.device, *, operation: str, unsupported: str | None = None) -> str:
    """The implementation to run: ``"reference"`` or ``"triton"``.

    ``unsupported`` is the reason why the Triton kernel can't take these inputs, where there is one: ``"auto"`` then
    falls back and says so once, ``"triton"`` refuses.
    """
    if impl not in IMPLS:
        raise ValueError(f"impl={impl!r}: allowed are {', '.join(IMPLS)}.")
    if impl == "reference" or (impl == "auto" and device.type != "cuda"):
        return "reference"
    obstacle = unsupported or _obstacle(device)
    if obstacle is None:
        return "triton"
    if impl == "triton":
        raise ValueError(f"impl='triton' for {operation}: {obstacle}. Use impl='auto' or impl='reference'.")
    _say_once(f"urt_kernels.{operation} runs its PyTorch reference: {obstacle}.")
    return "reference"


def no_fp64(*tensors: torch.Tensor | None) -> str | None:
    """The reason why kernels that compute in fp32 leave fp64 operands to the reference, or None."""
    if any(tensor is not None and tensor.dtype == torch.float64 for tensor in tensors):
        return "the operands are float64 and the kernels compute in float32"
    return None


def _obstacle(device: torch.device) -> str | None:
    if device.type == "meta":
        return "meta tensors have no data"
    if not triton_available():
        return "Triton is not installed (pip install 'urt-kernels[triton]')"
    if device.type != "cuda" and not interpreting():
        return f"the tensors are on {device.type}, Triton needs a CUDA device or TRITON_INTERPRET=1"
    return None


def _say_once(message: str) -> None:
    if message not in _said and not torch.compiler.is_compiling():
        _said.add(message)
        warnings.warn(message, stacklevel=4)


def on_device(tensor: torch.Tensor) -> AbstractContextManager[object]:
    """Triton launches on the current device: make it that of the tensor."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()
