"""`urt bench list | rescore | table | compare`"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from urt_core.atomic import write_atomically
from urt_core.bench.files import numbered_lines
from urt_core.bench.overview import behaviour_table, paired_table, result_table
from urt_core.bench.rescoring import find_benchmark, rescore_numbered
from urt_core.bench.result import BenchResult
from urt_core.bench.rules.catalogue import BENCHMARKS
from urt_core.bench.rules.rule import Benchmark
from urt_core.bench.run import read_about
from urt_core.bench.table import FORMATS, Table
from urt_core.cli.terminal import Style, styled, table, wrapped
from urt_core.errors import ConfigError, DataError
from urt_core.judging.journal import ABOUT


def run_list(options: argparse.Namespace) -> int:
    chosen = [find_benchmark(name) for name in options.names] or list(BENCHMARKS.values())
    if options.json:
        for benchmark in chosen:
            print(json.dumps(asdict(benchmark), ensure_ascii=False))
    elif options.names:
        for benchmark in chosen:
            print_benchmark(benchmark)
    else:
        rows = [[one.name, one.official, str(len(one.rules))] for one in chosen]
        print(table([["benchmark", "official rule", "rules"], *rows]))
        print(
            wrapped("\n`urt bench list NAME` says every rule, where it is written down, and what goes wrong with it.")
        )
    return 0


def run_rescore(options: argparse.Namespace) -> int:
    for name, result in scored(options).items():
        if options.json:
            named = {"file": name} if len(options.files) > 1 else {}
            print(json.dumps(named | result.to_json(), ensure_ascii=False))
        else:
            print_result(name, result)
    return 0


def run_table(options: argparse.Namespace) -> int:
    results = scored(options)
    return show([result_table(results), behaviour_table(results)], options)


def run_compare(options: argparse.Namespace) -> int:
    results = scored(options)
    return show([result_table(results), paired_table(results), behaviour_table(results)], options)


def scored(options: argparse.Namespace) -> dict[str, BenchResult]:
    """Judge -> its numbers. An incomplete run is said on standard error as well as in the result."""
    names = getattr(options, "names", None) or judge_names(options.files)
    if len(names) != len(options.files) or len(set(names)) != len(names):
        raise ConfigError(f"--names holds {len(names)} for {len(options.files)} files; give each a name of its own")
    results = {}
    for name, path in zip(names, options.files, strict=True):
        is_run = (Path(path) / ABOUT).is_file()
        about = read_about(Path(path)) if is_run else None
        benchmark = options.benchmark or (about or {}).get("benchmark")
        if benchmark is None:
            raise ConfigError(f"{path} does not say which benchmark it is of; name it with --benchmark")
        if about and find_benchmark(benchmark).name != about["benchmark"] != "pairs":
            raise ConfigError(
                f"{path} is of {about['benchmark']}, and --benchmark says {benchmark}; leave --benchmark out, or name another file"
            )
        try:
            result = rescore_numbered(
                numbered_lines(path),
                source=str(path),
                benchmark=benchmark,
                rule=options.rule,
                shape=options.shape,
                threshold=options.threshold,
                expected=about["data"]["num_in_set"] if about else None,
            )
        except DataError as error:
            raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
        for note in result.notes:
            print(f"urt: {path}: {note}", file=sys.stderr)
        results[name] = result
    return results


def judge_names(files: list[str]) -> list[str]:
    """The files' names without their endings; with their folders where that tells them apart."""
    names = [Path(name).name.removesuffix(".gz").removesuffix(".jsonl") for name in files]
    return names if len(set(names)) == len(names) else files


def show(tables: list[Table], options: argparse.Namespace) -> int:
    if options.format == "text":
        text = as_text(tables)
    else:
        text = FORMATS[options.format](tables[0].title.partition(",")[0], tables)
    if options.output:
        write_atomically(Path(options.output), text.encode())
    else:
        print(text)
    return 0


def print_tables(tables: list[Table]) -> None:
    print(as_text(tables))


def as_text(tables: list[Table]) -> str:
    return "\n".join(f"{wrapped(one.title)}\n{table([one.columns, *one.rows])}\n{notes(one)}" for one in tables)


def notes(one: Table) -> str:
    return "".join(f"{wrapped(note)}\n" for note in one.notes)


def print_result(name: str, result: BenchResult) -> None:
    print(styled(name, Style.BOLD))
    print(wrapped(f"{result.benchmark}, rule {result.rule}: {result.wording}"))
    rows = [["", "percent", "95 %", "of"]]
    for key, value in result.values.items():
        low, high = result.interval(key)
        rows.append([key, f"{value:.2f}", f"{low:.1f} to {high:.1f}", f"{result.n_of[key]:,}"])
    print(table(rows))
    print(f"n_total {result.n_total:,}  n_scored {result.n_scored:,}  n_failed {result.n_failed:,}")
    for note in result.notes:
        print(wrapped(styled(note, Style.BAD)))
    print()


def print_benchmark(benchmark: Benchmark) -> None:
    print(styled(f"{benchmark.title} ({benchmark.name})", Style.BOLD))
    print(wrapped(benchmark.source))
    print(wrapped(f"pairs: {sizes(benchmark)}; lines: {', '.join(benchmark.shapes)}"))
    for rule in benchmark.rules:
        official = " (official)" if rule.name == benchmark.official else ""
        print(f"\n{styled(rule.name + official, Style.GOOD)}")
        print(wrapped(rule.wording, indent="  "))
        if rule.source:
            print(wrapped(f"from {rule.source}{f' at {rule.commit}' if rule.commit else ''}", indent="  "))
        if rule.is_error:
            print(wrapped(f"a common mistake: {rule.is_error}", indent="  "))
    if benchmark.advice:
        print(f"\n{wrapped(benchmark.advice)}")
    print()


def sizes(benchmark: Benchmark) -> str:
    return ", ".join(f"{size:,} {part}" for part, size in benchmark.sizes.items()) or "not known"
