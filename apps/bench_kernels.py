"""Measure the kernels of urt_kernels against this machine's ceilings and against other implementations.

    python apps/bench_kernels.py                         # GPU: every operation and shape; CPU: the reference path
    python apps/bench_kernels.py --quick                 # one shape per operation; CPU: forward only
    python apps/bench_kernels.py --check-only            # gates only, no times; small shapes, any machine
    python apps/bench_kernels.py --only linear_token_logprobs     # the cases whose name holds that
    python apps/bench_kernels.py --predict               # what a GPU should show, by arithmetic
    python apps/bench_kernels.py --sweep outputs/kernels/tuning.json   # GPU: times all block sizes, writes the fastest
    python apps/bench_kernels.py --profile               # GPU: one step by kernel, beside the prediction
    python apps/bench_kernels.py --half-hour outputs/kernels           # GPU: all of it, in the order of worth
    TRITON_INTERPRET=1 python apps/bench_kernels.py --check-only --impl triton   # the kernels themselves, on a CPU

Exit status 1 where an implementation of ours misses a gate: error against fp64, bitwise repeatability, batch
invariance.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmarks.kernels import half_hour
from benchmarks.kernels.case import Case
from benchmarks.kernels.ceilings import machine_ceilings, product_ceiling
from benchmarks.kernels.heights import unequal_heights
from benchmarks.kernels.operations import (
    Shape,
    advantages_case,
    forward_only,
    head_case,
    logits_case,
    loss_case,
    step_case,
)
from benchmarks.kernels.prediction import table
from benchmarks.kernels.report import Row, markdown, write_csv, write_plot
from benchmarks.kernels.run import Limits, run_case
from benchmarks.kernels.sweep import operation, sweep, write_table
from urt_core.process.pipes import reader_may_leave
from urt_kernels.dispatch import interpreting

HEADS = (
    Shape(head="Qwen2.5-VL-7B", vocabulary=152064, size=3584, num_rows=8192),
    Shape(head="Qwen3-VL-8B", vocabulary=151936, size=4096, num_rows=8192),
    Shape(head="Qwen3-VL-2B", vocabulary=151936, size=2048, num_rows=8192),
)
TOKENS = (2048, 8192, 16384, 32768, 65536)
# Large enough for several chunks and blocks, small enough for a CPU, and no multiple of any block.
SMALL = Shape(head="small", vocabulary=1111, size=72, num_rows=70)
# The shape of the CPU target: TRL's selective_log_softmax at 4096 x 32000.
CPU = Shape(head="32000", vocabulary=32000, size=64, num_rows=4096)


def main() -> int:
    arguments = parse()
    if arguments.predict:
        print(table())
        return 0
    if arguments.half_hour is not None:
        return half_hour.run(arguments.half_hour)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    impl = arguments.impl or ("triton" if device.type == "cuda" else "reference")
    header = describe(device)
    for name, value in header.items():
        print(f"{name}: {value}", flush=True)
    if arguments.profile or arguments.sweep is not None:
        return on_gpu(device, arguments)
    timed = not arguments.check_only
    ceilings = machine_ceilings(device, repetitions=arguments.repetitions) if timed else None
    if ceilings is not None:
        header["copy"], header["read"] = f"{ceilings.copy / 1e9:.0f} GB/s", f"{ceilings.read / 1e9:.0f} GB/s"
        header["launch"] = f"{ceilings.launch_us:.1f} us"
    rows: list[Row] = []
    heights = height_gate(device) if arguments.check_only and not arguments.only else True
    for case, shape in cases(device, impl, quick=arguments.quick, check_only=arguments.check_only):
        if arguments.only not in case.label:
            continue
        limits = None
        if ceilings is not None:
            product = None
            if shape is not None:
                size = (shape.num_rows, shape.vocabulary, shape.size)
                product = product_ceiling(*size, torch.bfloat16, device, repetitions=arguments.repetitions)
            limits = Limits(ceilings=ceilings, product=product)
        for row in run_case(case, device, limits=limits, repetitions=arguments.repetitions):
            rows.append(row)
            print(line(row), flush=True)
    write(rows, header, arguments)
    failed = [row for row in rows if row.passed is False]
    print(f"{sum(row.passed is True for row in rows)} rows of ours passed their gates, {len(failed)} failed")
    if not rows:
        print(f"no case holds {arguments.only!r}")
    return 1 if failed or not heights or not rows else 0


def height_gate(device: torch.device) -> bool:
    """Whether a row's logits have the same bits at every height; on a GPU in bf16, at the size of a real head."""
    on_gpu = device.type == "cuda"
    size, columns, tallest = (4096, 2048, 4096) if on_gpu else (72, 300, 1024)
    wrong = unequal_heights(
        size=size, columns=columns, tallest=tallest, dtype=torch.bfloat16 if on_gpu else torch.float32, device=device
    )
    verdict = "passed" if not wrong else f"FAILED at {wrong}: set urt_kernels.tuning.HEIGHT_STEP to {tallest}"
    print(f"equal bits of a row at every height up to {tallest} x {size} x {columns}: {verdict}", flush=True)
    return not wrong


def on_gpu(device: torch.device, arguments: argparse.Namespace) -> int:
    """What has no meaning without a GPU: a profile, the sweep."""
    if device.type != "cuda":
        print("--profile and --sweep need a CUDA device")
        return 1
    if arguments.sweep is not None:
        result = sweep(device, num_rows=8192, vocabulary=151936, size=4096, repetitions=arguments.repetitions)
        write_table(result, arguments.sweep)
        print(json.dumps(result, indent=2))
        return 0
    step = operation("one_pass", device, num_rows=8192, vocabulary=151936, size=4096)
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        torch.cuda.synchronize()
    print(profile.key_averages().table(sort_by="cuda_time_total", row_limit=25))
    print(table())
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one shape per operation; on a CPU forward only")
    parser.add_argument(
        "--check-only", action="store_true", help="run the correctness gates on small shapes, time nothing"
    )
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--predict", action="store_true", help="print the predictions of docs/kernels.md")
    parser.add_argument("--profile", action="store_true", help="one step of the one pass by kernel (GPU)")
    parser.add_argument("--sweep", type=Path, metavar="JSON", help="time all block sizes, write the fastest (GPU)")
    parser.add_argument("--half-hour", type=Path, metavar="FOLDER", help="run everything worth a GPU's first half hour")
    parser.add_argument(
        "--impl", choices=("reference", "triton"), help="ours (default: triton on a GPU, else reference)"
    )
    parser.add_argument("--repetitions", type=int, default=30, help="timed runs per function")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--plot", type=Path, help="SVG file")
    return parser.parse_args()


def cases(device: torch.device, impl: str, *, quick: bool, check_only: bool) -> Iterator[tuple[Case, Shape | None]]:
    """The cases, with the head's shape where a matrix product of that shape is the ceiling."""
    if check_only:
        # Triton's interpreter multiplies bf16 wrongly.
        for dtype in (torch.float32,) if interpreting() else (torch.float32, torch.bfloat16):
            for peaked in (True, False):
                yield logits_case(SMALL, dtype, device, peaked=peaked, impl=impl), None
                yield head_case(SMALL, dtype, device, peaked=peaked, impl=impl), SMALL
            for frozen in (True, False):
                yield step_case(replace(SMALL, num_rows=64), dtype, device, frozen=frozen, impl=impl), SMALL
        yield loss_case(5, 37, device, impl=impl), None
        yield advantages_case(9, 7, device, impl=impl), None
        return
    if device.type == "cpu":
        for dtype in (torch.float32, torch.bfloat16):
            case = logits_case(CPU, dtype, device, peaked=True, impl=impl)
            yield forward_only(case) if quick else case, None
        if not quick:
            yield loss_case(64, 1024, device, impl=impl), None
            yield advantages_case(512, 8, device, impl=impl), None
        return
    for head in HEADS[1:2] if quick else HEADS:
        for num_rows in (8192,) if quick else TOKENS:
            shape = replace(head, num_rows=num_rows)
            for peaked in (True,) if quick else (True, False):
                if head is not HEADS[2]:
                    yield logits_case(shape, torch.bfloat16, device, peaked=peaked, impl=impl), None
                yield head_case(shape, torch.bfloat16, device, peaked=peaked, impl=impl), shape
            for frozen in (False, True):
                yield step_case(shape, torch.bfloat16, device, frozen=frozen, impl=impl), shape
    yield loss_case(64, 1024, device, impl=impl), None
    yield advantages_case(512, 8, device, impl=impl), None


def describe(device: torch.device) -> dict[str, str]:
    """What the figures depend on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    described = {"device": name, "python": platform.python_version(), "torch": torch.__version__}
    for package in ("triton", "liger-kernel", "cut-cross-entropy", "trl"):
        try:
            described[package] = version(package)
        except PackageNotFoundError:
            described[package] = "not installed"
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return {**described, "commit": commit.stdout.strip() or "unknown"}


def line(row: Row) -> str:
    time = "" if row.median_ms is None else f"{row.median_ms:10.3f} ms {row.rate:>14}"
    share = "" if row.share is None else f"{row.share:5.0%}"
    gate = "" if row.passed is None else "passed" if row.passed else "FAILED"
    extra = "" if row.extra_mib is None else f"{row.extra_mib:6.0f} MiB"
    error = "" if row.error is None else f"error {row.error:.1e}"
    return (
        f"{row.case:60} {row.mode:9} {row.implementation:32} {time} {share} {extra} {error} {gate} {row.note}".rstrip()
    )


def write(rows: list[Row], header: dict[str, str], arguments: argparse.Namespace) -> None:
    for file in (arguments.csv, arguments.markdown, arguments.plot):
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
    if arguments.csv is not None:
        write_csv(rows, arguments.csv, header=header)
    if arguments.markdown is not None:
        arguments.markdown.write_text(markdown(rows, header=header))
    if arguments.plot is not None:
        write_plot(rows, arguments.plot)


if __name__ == "__main__":
    with reader_may_leave():
        sys.exit(main())
