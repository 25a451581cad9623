"""What can be typed behind `urt bench`."""

import argparse
from typing import Any

from urt_core.cli.lazily import lazily

EXAMPLES = """examples:
  urt bench list
  urt bench list genai_bench
  urt bench rescore results/gpt4o.jsonl.gz --benchmark genai_bench --rule four_way --shape genai_bench --json
  urt bench table a.jsonl b.jsonl --benchmark mmrb2 --format latex
  urt bench compare a.jsonl b.jsonl --benchmark mmrb2
"""


def add_bench(commands: Any) -> None:
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
    part.set_defaults(run=lazily("bench", name))
    return part


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
    part.add_argument("--format", choices=("text", "markdown", "csv", "latex", "html"), default="text")
    part.add_argument("--output", metavar="FILE", help="(default: standard output)")
    part.add_argument("--names", nargs="+", metavar="NAME", help="of the judges (default: of their files)")
