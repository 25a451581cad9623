"""One safetensors file, written and hashed in one pass, and tensors read from pieces that any number of processes
wrote."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from urt_core.errors import CheckpointError

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""What the format calls a type."""
CHUNK = 16 << 20
"""Bytes written and hashed at once; both let other threads run meanwhile."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> tuple[int, str]:
    """Write CPU tensors as a safetensors file, synced to disk; (its size in bytes, its SHA-256).

    The library's own writer needs a second copy of all bytes and the file read again for its hash. The format: length
    of the header (8 bytes, little endian), header (JSON, padded with blanks), bytes in the header's order
    (https://github.com/huggingface/safetensors#format). Wide types come first, so that each tensor is aligned to its
    items.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {}
    position = 0
    for name in names:
        tensor = tensors[name]
        end = position + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [position, end],
        }
        position = end
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for content in (len(head).to_bytes(8, "little"), head, *(_bytes_of(tensors[name]) for name in names)):
            for start in range(0, len(content), CHUNK):
                digest.update(chunk := content[start : start + CHUNK])
                file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
        return file.tell(), digest.hexdigest()


def _bytes_of(tensor: Tensor) -> memoryview:
    content: Any = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(content)


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A box of a whole tensor: Piece(whole=(4096, 1024), offset=(2048, 0), shape=(2048, 1024))"""

    whole: tuple[int, ...]
    offset: tuple[int, ...]
    shape: tuple[int, ...]

    def to_json(self) -> list[list[int]]:
        return [list(self.whole), list(self.offset), list(self.shape)]

    @classmethod
    def from_json(cls, value: Any) -> Piece:
        whole, offset, shape = (tuple(int(number) for number in part) for part in value)
        if not len(whole) == len(offset) == len(shape) or any(
            not 0 <= start <= start + size <= total for start, size, total in zip(offset, shape, whole, strict=True)
        ):
            raise ValueError(f"a piece of {shape} at {offset} lies outside of {whole}")
        return cls(whole=whole, offset=offset, shape=shape)

    @classmethod
    def of_all(cls, shape: Sequence[int]) -> Piece:
        return cls(whole=tuple(shape), offset=(0,) * len(shape), shape=tuple(shape))


class PieceReader:
    """Tensors out of the pieces in several files: PieceReader({path: {"policy.model.lm_head.weight": piece}})"""

    def __init__(self, files: Mapping[Path, Mapping[str, Piece]]) -> None:
        self._pieces: dict[str, list[tuple[Path, Piece]]] = {}
        for path, pieces in files.items():
            for name, piece in pieces.items():
                self._pieces.setdefault(name, []).append((path, piece))
        self._open: dict[Path, Any] = {}

    @property
    def names(self) -> set[str]:
        return set(self._pieces)

    def read(self, name: str, piece: Piece) -> Tensor:
        """That box of the tensor, put together from the pieces that overlap it. CheckpointError where a part is
        nowhere."""
        wanted = piece
        found: Tensor | None = None
        covered = 0
        for path, stored in self._pieces.get(name, ()):
            if stored.whole != wanted.whole:
                raise CheckpointError(
                    f"{path} has {name} of shape {list(stored.whole)}, the model {list(wanted.whole)}"
                )
            boxes = [
                (max(a, c), min(a + b, c + d))
                for a, b, c, d in zip(wanted.offset, wanted.shape, stored.offset, stored.shape, strict=True)
            ]
            if any(low >= high for low, high in boxes):
                continue
            part = self._slice(
                path, name, [slice(low - at, high - at) for (low, high), at in zip(boxes, stored.offset, strict=True)]
            )
            if found is None:
                found = part.new_empty(wanted.shape)
            found[tuple(slice(low - at, high - at) for (low, high), at in zip(boxes, wanted.offset, strict=True))] = (
                part
            )
            covered += part.numel()
        size = torch.Size(wanted.shape).numel()
        if found is None or covered != size:
            raise CheckpointError(f"the checkpoint has {covered:,} of the {size:,} values of {name}")
        return found

    def _slice(self, path: Path, name: str, where: list[slice]) -> Tensor:
        try:
            if path not in self._open:
                self._open[path] = safe_open(str(path), framework="pt").__enter__()
            file = self._open[path]
            return file.get_slice(name)[tuple(where)] if where else file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} can't be read ({str(error).splitlines()[0]})") from error
