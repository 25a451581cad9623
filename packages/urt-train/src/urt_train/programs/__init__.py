"""The `urt-train` command: `urt-train [program] [setting=value ...]`. Without a program it trains one stage.

A program is a module of this room: command line in, a checked config out, then one call of the library. On several
GPUs: `torchrun --nproc-per-node 8 -m urt_train stage=grpo ...`
"""

import sys
from importlib import import_module

PROGRAMS = ("prepare_data", "distill", "train", "sample", "evaluate", "pipeline", "dry_run")


def main() -> None:
    """Runs the program that the command line names; the rest of the line is the program's own."""
    words = sys.argv[1:]
    name = "train"
    if words and "=" not in words[0] and not words[0].startswith("-"):
        name = words[0].replace("-", "_")
        sys.argv = [sys.argv[0], *words[1:]]
    if name not in PROGRAMS:
        sys.exit(
            f"error: there is no program {name}; allowed: {', '.join(PROGRAMS)}, or settings alone, such as stage=grpo"
        )
    import_module(f"urt_train.programs.{name}").main()
