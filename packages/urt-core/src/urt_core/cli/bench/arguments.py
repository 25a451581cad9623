"""What can be typed behind `urt bench`."""

import argparse
from collections.abc import Callable
from typing import Any

from urt_core.cli.lazily import lazily

DIALECT = (
    "v1, v2, direct, general, edit_pair, flex, pair_score, or package.module:name of a contract of your own; default: as in judge.json, "
    "where --model is a folder with one"
)
EXAMPLES = """examples:
  urt bench list
  urt bench list genai_bench
  urt bench run --model outputs/tiny/grpo/model --benchmark pairs --data outputs/tiny/data/test --output outputs/bench/test
  urt bench rescore results/gpt4o.jsonl.gz --benchmark genai_bench --rule four_way --shape genai_bench --json
  urt bench table a.jsonl b.jsonl --benchmark mmrb2 --format latex
  urt bench compare a.jsonl b.jsonl --benchmark mmrb2
"""


def add_bench(commands: Any, *, add_judge: Callable[[argparse.ArgumentParser], None]) -> None:
    bench = commands.add_parser(
        "bench",
        help="measure judges on public benchmarks",
        description="Measure judges on public benchmarks: numbers that anyone can make again from the lines.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = bench.add_subparsers(required=True, metavar="command")

    listed = add_part(parts, "list", "the benchmarks and their rules")
    listed.add_argument(
        "names", nargs="*", metavar="NAME", help="with every rule of it, its source and common mistakes"
    )
    listed.add_argument("--json", action="store_true", help="print JSON")

    run = add_part(parts, "run", "a judge on a benchmark: a folder of lines, and the table")
    run.set_defaults(run=lazily("bench.run", "run"))
    add_run(run)
    add_judge(run)

    suites = add_part(parts, "suites", "what moves a judge that should not, on any pairs")
    suites.set_defaults(run=lazily("bench.suites", "suites_command"))
    add_suites(suites)
    add_judge(suites)

    rescore = add_part(parts, "rescore", "the numbers again, from the lines, without a model")
    add_lines(rescore)
    rescore.add_argument("--json", action="store_true", help="print JSON, one object for each file")

    table = add_part(parts, "table", "several judges side by side")
    add_lines(table)
    add_format(table)

    compare = add_part(parts, "compare", "judges against the first of them, on the same items")
    add_lines(compare)
    add_format(compare)


def add_part(parts: Any, name: str, text: str) -> argparse.ArgumentParser:
    part = parts.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    part.set_defaults(run=lazily("bench.scores", name))
    return part


def add_run(part: argparse.ArgumentParser) -> None:
    group = part.add_argument_group("the benchmark")
    group.add_argument(
        "--benchmark", required=True, metavar="NAME", help="as `urt bench list` names it; `pairs` for pairs of your own"
    )
    group.add_argument(
        "--data",
        required=True,
        metavar="PATH",
        help="a folder of shards (urt-data), or JSONL or Parquet rows with a preference",
    )
    group.add_argument(
        "--output", required=True, metavar="FOLDER", help="the same command goes on where it was stopped"
    )
    group.add_argument(
        "--rule",
        default="official",
        metavar="NAME",
        help="of the table; any other can be asked for later (default %(default)s)",
    )
    group.add_argument("--limit", type=int, metavar="N", help="only the first N pairs; the result says so")
    group.add_argument(
        "--orders",
        dest="asked_orders",
        choices=("both", "given", "random"),
        default="both",
        help="in which each pair is shown; random is one, drawn by its key (default %(default)s)",
    )
    add_shared(group)
    group.add_argument(
        "--max-failures",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="unreadable; exit with 3 above it (default %(default)s)",
    )


def add_suites(part: argparse.ArgumentParser) -> None:
    group = part.add_argument_group("the pairs")
    group.add_argument(
        "--data", required=True, metavar="PATH", help="a folder of shards (urt-data), or rows with a preference"
    )
    group.add_argument(
        "--output", required=True, metavar="FOLDER", help="the same command goes on where it was stopped"
    )
    group.add_argument(
        "--pairs", type=int, default=48, metavar="N", help="evenly spread over the data (default %(default)s)"
    )
    add_shared(group)


def add_shared(group: Any) -> None:
    group.add_argument("--dialect", help=DIALECT)
    group.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes, each with GPUs of its own (default %(default)s)"
    )


def add_lines(part: argparse.ArgumentParser) -> None:
    part.add_argument(
        "files", nargs="+", metavar="FILE", help="JSONL, plain or gzip, or the folder of a run; one for each judge"
    )
    part.add_argument(
        "--benchmark", metavar="NAME", help="as `urt bench list` names it (default: as the run's folder says)"
    )
    part.add_argument("--rule", default="official", metavar="NAME", help="(default %(default)s)")
    part.add_argument(
        "--shape",
        metavar="NAME",
        help="urt, genai_bench, mmrb2, mj_bench, judgebench, rewardbench2 (default: by its fields)",
    )
    part.add_argument("--threshold", type=float, help="a tie is a margin of at most this, for rules with scores")


def add_format(part: argparse.ArgumentParser) -> None:
    part.add_argument(
        "--format", choices=("text", "markdown", "csv", "latex", "html"), default="text", help="(default %(default)s)"
    )
    part.add_argument("--output", metavar="FILE", help="(default: standard output)")
    part.add_argument("--names", nargs="+", metavar="NAME", help="of the judges (default: of their files)")
