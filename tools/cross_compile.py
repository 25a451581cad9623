# pyright: reportMissingImports=false
"""Machine code of a Triton kernel for a GPU that is not there, and what can be read off it.

Triton brings its own assembler and disassembler, so that a machine without a GPU can tell whether a kernel spills
registers, loads 128 bits at a time and uses the tensor cores. It can't tell how fast the kernel is.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineCode:
    """What the SASS of one kernel says.

    >>> MachineCode(registers=64, spills=0, wide_loads=8, tensor_core_products=0, bulk_loads=0, shared_bytes=64,
    ...             step_instructions=256, step_barriers=1, threads=256)
    """

    registers: int
    """Per thread."""
    spills: int
    """Loads and stores of local memory."""
    wide_loads: int
    """128-bit loads from global memory."""
    tensor_core_products: int
    """Warp-group matrix products (HGMMA)."""
    bulk_loads: int
    """Tensor loads by the TMA unit."""
    shared_bytes: int
    step_instructions: int
    """Of the longest loop; of the whole kernel where it has none."""
    step_barriers: int
    """Barriers across the program in it."""
    threads: int
    """Per program."""

    @property
    def programs_per_sm(self) -> int:
        """That an SM of 65,536 registers, 2,048 threads and 227 KiB of shared memory holds at once."""
        by_registers = 65536 // (-(-self.registers // 8) * 8 * self.threads)
        by_memory = 227 * 1024 // max(1, self.shared_bytes + 1024)
        return min(by_registers, 2048 // self.threads, by_memory, 32)


def cross_compile(
    kernel: Any,
    types: Mapping[str, str],
    constants: Mapping[str, Any],
    *,
    num_warps: int,
    num_stages: int = 3,
    capability: int = 90,
) -> MachineCode:
    """Compile ``kernel`` for sm_``capability``.

    ``types`` gives Triton's name of each run-time argument's type, with ``:16`` behind it where pointer or number is
    divisible by 16: ``{"logits": "*bf16:16", "vocabulary": "i32:16", "scale": "fp32"}``. ``constants`` has the rest.
    """
    options = {"num_warps": num_warps, "num_stages": num_stages}
    compiled = compiled_for(kernel, types, constants, backend="cuda", architecture=capability, **options)
    return read_machine_code(compiled.asm["cubin"], shared_bytes=compiled.metadata.shared, threads=32 * num_warps)


def compiled_for(
    kernel: Any,
    types: Mapping[str, str],
    constants: Mapping[str, Any],
    *,
    backend: str,
    architecture: int | str,
    **options: int,
) -> Any:
    """What Triton's compiler makes of ``kernel`` for ``("cuda", 90)`` or ``("hip", "gfx942")``."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature = {name: types[name].removesuffix(":16") if name in types else "constexpr" for name in kernel.arg_names}
    divisible = {
        (index,): [["tt.divisibility", 16]]
        for index, name in enumerate(kernel.arg_names)
        if types.get(name, "").endswith(":16")
    }
    source = ASTSource(kernel, signature, constexprs=dict(constants), attrs=divisible)
    return triton.compile(
        source, target=GPUTarget(backend, architecture, 64 if backend == "hip" else 32), options=options
    )


def read_machine_code(cubin: bytes, *, shared_bytes: int, threads: int) -> MachineCode:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        usage, sass = _disassemble("--dump-resource-usage", file), _disassemble("--dump-sass", file)

    def count(pattern: str) -> int:
        return len(re.findall(pattern, sass))

    return MachineCode(
        registers=max(int(number) for number in re.findall(r"REG:(\d+)", usage)),
        spills=count(r"\b(?:LDL|STL)\b"),
        wide_loads=count(r"\bLDG\.E\.[A-Z.0-9]*128\b|\bLDG\.E\.128\b"),
        tensor_core_products=count(r"\bHGMMA\b"),
        bulk_loads=count(r"\bUTMALDG\b"),
        shared_bytes=shared_bytes,
        step_instructions=len(step := longest_loop(sass)),
        step_barriers=sum("BAR.SYNC" in line for line in step),
        threads=threads,
    )


def longest_loop(sass: str) -> list[str]:
    """The instructions between a branch backwards and where it goes to; all of them where there is no such branch."""
    instructions = [(int(at, 16), text) for at, text in re.findall(r"/\*([0-9a-f]{4,6})\*/\s+([^;]+);", sass)]
    loops = []
    for at, text in instructions:
        target = re.search(r"\bBRA(?:\.\w+)* (?:\w+, )?0x([0-9a-f]+)", text)
        if target and int(target[1], 16) < at:
            loops.append([body for where, body in instructions if int(target[1], 16) <= where <= at])
    return max(loops, key=len, default=[text for _, text in instructions])


def _disassemble(option: str, file: Path) -> str:
    import triton

    program = Path(str(triton.__file__)).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    return subprocess.run([program, option, file], capture_output=True, text=True, check=True).stdout
