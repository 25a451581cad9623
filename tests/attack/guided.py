"""Fuzzing by coverage: libFuzzer, through atheris, changes inputs and keeps those that reach lines none has reached.

    pip install atheris
    python -m tests.attack.guided --seconds 3600 --folder outputs/fuzz

One process at a time, each door of `readers` for its share of the seconds, from inputs of `structures`. What it finds
lies in the folder: inputs that reached something under `corpus`, faults as `fault-...`.
"""

import argparse
import importlib
import os
import random
import re
import sys
import time
from pathlib import Path
from typing import Any

NUM_SEEDS = 60
MAX_BYTES = 1 << 16
STUCK_SECONDS = 600
"""By the clock, which a busy machine makes long; processor time is bounded by `one_of`."""
MEMORY_MB = 4096
MAX_CPU_SECONDS = 10.0
"""Instrumented code is slower by a factor of about two."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--folder", type=Path, default=Path("outputs/fuzz"))
    parser.add_argument("--doors", nargs="*", default=[], help="these alone")
    options = parser.parse_args()
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["urt_core", "urt_data", "PIL", "zipfile", "tarfile"]):
        from tests.attack import readers, structures
    doors, faults = options.doors or list(readers.READERS), 0
    for door in doors:
        read = readers.video_here if door == "video" else readers.READERS[door]
        corpus = options.folder / "corpus" / door
        corpus.mkdir(parents=True, exist_ok=True)
        for number in range(NUM_SEEDS):
            data = structures.MAKERS_OF[door](random.Random(number))
            (corpus / f"seed-{number:03d}").write_bytes(data[:MAX_BYTES])
        log = options.folder / f"{door}.log"
        sys.stdout.flush()
        # libFuzzer ends its process; a child has the modules already.
        if (child := os.fork()) == 0:
            with log.open("wb") as file:
                os.dup2(file.fileno(), 2)
            fuzz(
                atheris,
                one_of(readers, read),
                corpus,
                seconds=options.seconds // len(doors),
            )
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        [*_, (runs, covered)] = [("0", "0"), *re.findall(r"#(\d+)\s.*?cov: (\d+)", log.read_text(errors="replace"))]
        print(
            f"{door:15} {int(runs):>12,} inputs   {int(covered):>6,} edges   {'FAULT' if status else 'no fault'}",
            flush=True,
        )
        faults += status != 0
    return 1 if faults else 0


def one_of(readers: Any, read: Any) -> Any:
    """What libFuzzer calls with each input: an error that is not ours, or seconds of the processor, is a fault."""

    def one(data: bytes) -> None:
        began = time.thread_time()
        readers.outcome(read, data)
        if (took := time.thread_time() - began) > MAX_CPU_SECONDS:
            raise TimeoutError(f"{took:.1f} s of CPU")

    return one


def fuzz(atheris: Any, one: Any, corpus: Path, *, seconds: int) -> None:
    """Does not return; the process ends with another code than 0 where something was found."""
    limits = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_BYTES}",
        f"-timeout={STUCK_SECONDS}",
        f"-rss_limit_mb={MEMORY_MB}",
    ]
    # Lengths matter little to parsers of structures, and compiled code is not instrumented.
    options = ["-print_final_stats=1", "-len_control=0", f"-artifact_prefix={corpus.parents[1]}/fault-{corpus.name}-"]
    atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
