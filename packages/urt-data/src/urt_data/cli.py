"""The `urt-data` command: convert published sets and tables; prove, cure, look at and clean folders of shards."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from urt_core.errors import ConfigError, UrtError
from urt_core.process.pipes import reader_may_leave
from urt_data.shards import ShardCache, ShardFolder
from urt_data.shards.addresses import is_address, upload_to

MAX_PRINTED = 50
CACHE_BYTES = 20 * 2**30
"""Of shards that are read from an address."""


class Output(Console):
    """A console whose reader may leave: rich would end the program with the exit code of a finding."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: all is well. 1: something was found. 2: the command could not run. 141: nobody reads the output any more."""
    with reader_may_leave():
        options = _parser().parse_args(arguments)
        try:
            return options.run(options, Output(highlight=False, soft_wrap=True))
        except BrokenPipeError:
            raise
        except (UrtError, OSError) as error:  # a full or read-only disk, a folder that may not be read
            Console(stderr=True, highlight=False, soft_wrap=True).print(
                f"urt-data {options.command}: {error}", markup=False
            )
            return 2


def run_verify(options: argparse.Namespace, console: Console) -> int:
    from urt_data.upkeep.verify import verify

    report = verify(options.folder, decode=not options.no_decode)
    if options.json:
        print(json.dumps(asdict(report), ensure_ascii=False))
        return 0 if report.is_sound else 1
    for finding in report.findings[:MAX_PRINTED]:
        console.print(str(finding), markup=False)
    if len(report.findings) > MAX_PRINTED:
        console.print(f"… and {len(report.findings) - MAX_PRINTED} more; --json prints all")
    damage = sum(finding.kind.is_damage for finding in report.findings)
    verdict = "sound" if report.is_sound else f"{damage} damaged places"
    console.print(f"{report.num_samples:,} samples in {report.num_shards:,} shards: {verdict}")
    return 0 if report.is_sound else 1


def run_convert(options: argparse.Namespace, console: Console) -> int:
    from urt_data.prepare import prepare
    from urt_data.sources import SOURCES

    if not options.settings:
        console.print("sources:", ", ".join(sorted(SOURCES)))
        return 0
    report = prepare(options.settings, progress=lambda line: console.print(line, markup=False))
    for line in report.lines():
        console.print(line, markup=False)
    return 0 if report.is_within_limit else 1


def run_export(options: argparse.Namespace, console: Console) -> int:
    from urt_data import export, pipelines

    records = _shards(options.folder)
    if options.uniform and options.format != "webdataset":
        raise ConfigError(f"--uniform goes with --format webdataset, not {options.format}")
    with _written(options.output) as path:
        if options.format == "webdataset":
            number = pipelines.write_webdataset(records, path, uniform=options.uniform)
        elif options.format == "parquet":
            number = export.write_parquet(records, path)
        else:
            write = export.write_official_grpo if options.format == "official_grpo" else export.write_official_sft
            number = write(records, path)
    console.print(f"wrote {number:,} records to {options.output} as {options.format}", markup=False)
    return 0


def run_repair(options: argparse.Namespace, console: Console) -> int:
    from urt_data.upkeep.repair import repair

    report = repair(options.folder, options.output, keep_unproven=options.keep_unproven, decode=not options.no_decode)
    for finding in report.findings[:MAX_PRINTED]:
        console.print(str(finding), markup=False)
    console.print(
        f"kept {report.num_kept:,} samples in {options.output}, {report.num_unproven:,} of them unproven", markup=False
    )
    if report.keeps_order:
        console.print(f"runs that began with {options.folder} go on with {options.output}", markup=False)
    return 0


def run_index(options: argparse.Namespace, console: Console) -> int:
    from urt_data.indexing import index_folder

    manifest = index_folder(options.folder)
    samples = sum(shard.num_samples for shard in manifest.shards)
    console.print(f"indexed {samples:,} samples in {len(manifest.shards):,} shards of {options.folder}", markup=False)
    return 0


def run_inspect(options: argparse.Namespace, console: Console) -> int:
    from urt_data.inspection import inspect

    with _written(options.output) as path:
        inspect(_shards(options.folder), path, num_records=options.records, seed=options.seed)
    console.print(f"wrote {options.output}", markup=False)
    return 0


def run_stats(options: argparse.Namespace, console: Console) -> int:
    from urt_data.statistics import statistics

    numbers = statistics(_shards(options.folder), num_read=options.records)
    if options.json:
        print(json.dumps(asdict(numbers), ensure_ascii=False))
        return 0
    table = Table("", "records", title=None, box=None)
    table.add_row("all", f"{numbers.num_samples:,} in {numbers.num_shards:,} shards, {numbers.num_bytes:,} bytes")
    for name, count in {
        **numbers.tasks,
        **{f"label {label}": count for label, count in numbers.preferences.items()},
    }.items():
        table.add_row(name, f"{count:,}")
    for row in numbers.provenance:
        commercial = "not stated" if row["commercial_ok"] is None else row["commercial_ok"]
        licence = f"{row['source'] or 'source not stated'}, {row['licence'] or 'licence not stated'}, commercial use: {commercial}"
        table.add_row(licence, f"{row['num_samples']:,}")
    console.print(table)
    table = Table(f"over {numbers.num_read:,} records", "5 %", "median", "95 %", box=None)
    for row in numbers.quantiles:
        table.add_row(row.name, f"{row.low:,.1f}", f"{row.median:,.1f}", f"{row.high:,.1f}")
    console.print(table)
    return 0


def run_decontaminate(options: argparse.Namespace, console: Console) -> int:
    from urt_data.duplicates.contamination import EvaluationIndex, remove_matches

    train = _shards(options.folder)
    index = EvaluationIndex(
        map(_shards, options.against), max_distance=options.max_distance, texts=not options.images_only
    )
    report = index.check(train)
    if options.report:
        with _written(options.report) as path, path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(match), ensure_ascii=False) + "\n" for match in report.matches)
    for match in report.matches[:MAX_PRINTED]:
        console.print(f"{match.key} repeats {match.evaluation_key} in {match.evaluation}: {match.equal}", markup=False)
    console.print(
        f"{len(report.keys):,} of {report.num_records:,} records match; {report.num_unreadable:,} have unreadable media"
    )
    for reason, count in report.reasons.items():
        console.print(f"  {count:,} by {reason}", markup=False)
    if options.output:
        remove_matches(train, report, options.output)
        console.print(f"wrote the others to {options.output}", markup=False)
        return 0
    return 1 if report.matches else 0


def _shards(folder: str) -> ShardFolder:
    """A folder of shards; those of an address are read through a cache that all runs of this user share."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "urt-data", "shards")
    return ShardFolder(
        folder, cache=ShardCache(folder=str(cache), max_bytes=CACHE_BYTES) if is_address(folder) else None
    )


@contextmanager
def _written(output: str) -> Iterator[Path]:
    """A file or folder to write, which is uploaded where `output` is an address."""
    if not is_address(output):
        yield Path(output)
        return
    parent, _, name = output.rstrip("/").rpartition("/")
    with upload_to(parent) as folder:
        yield folder / name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="urt-data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    verify = commands.add_parser(
        "verify", help="compare every byte with its hash, decode every image, report duplicates and balance"
    )
    verify.set_defaults(run=run_verify)
    verify.add_argument("folder")
    verify.add_argument("--no-decode", action="store_true", help="hashes and records only")
    verify.add_argument("--json", action="store_true", help="print JSON")

    convert = commands.add_parser(
        "convert",
        help="a downloaded set or your own table to shards: data=<source> input=<path> output=<folder>",
        description="data=<source> input=<path> [output=<folder>] [setting=value ...]; without settings, the sources",
        epilog="settings of every conversion: input, output, media, revision, split, decode, samples_per_shard, overwrite, "
        "num_threads, max_rejected; of a table also columns.text=<column>, licence=<name>, ... (docs/data.md)",
    )
    convert.set_defaults(run=run_convert)
    convert.add_argument("settings", nargs="*", metavar="setting=value")

    export = commands.add_parser("export", help="shards to plain webdataset tars, Parquet, or UnifiedReward's own JSON")
    export.set_defaults(run=run_export)
    export.add_argument("folder")
    export.add_argument("output")
    export.add_argument(
        "--format",
        default="webdataset",
        choices=["webdataset", "parquet", "official_grpo", "official_sft"],
        help="official_*: UnifiedReward's own JSON (default %(default)s)",
    )
    export.add_argument(
        "--uniform", choices=["png", "jpg", "webp"], help="one image format for all, as Hugging Face's reader asks for"
    )

    repair = commands.add_parser("repair", help="write the sound samples of a damaged folder into a new one")
    repair.set_defaults(run=run_repair)
    repair.add_argument("folder")
    repair.add_argument("output")
    repair.add_argument(
        "--keep-unproven", action="store_true", help="also samples that no intact index or shard hash proves"
    )
    repair.add_argument("--no-decode", action="store_true", help="go by hashes and records only")

    index = commands.add_parser("index", help="write index and manifest for tar files that are there already")
    index.set_defaults(run=run_index)
    index.add_argument("folder")

    inspect = commands.add_parser("inspect", help="write an HTML contact sheet")
    inspect.set_defaults(run=run_inspect)
    inspect.add_argument("folder")
    inspect.add_argument("output")
    inspect.add_argument("--records", type=int, default=24, help="how many are drawn (default %(default)s)")
    inspect.add_argument("--seed", type=int, default=0, help="of the draw (default %(default)s)")

    stats = commands.add_parser("stats", help="counts, licences and sizes")
    stats.set_defaults(run=run_stats)
    stats.add_argument("folder")
    stats.add_argument(
        "--records", type=int, default=1000, help="how many records are read for sizes (default %(default)s)"
    )
    stats.add_argument("--json", action="store_true", help="print JSON")

    clean = commands.add_parser(
        "decontaminate", help="find (and with --output leave out) records that evaluation sets also hold"
    )
    clean.set_defaults(run=run_decontaminate)
    clean.add_argument("folder")
    clean.add_argument("--against", nargs="+", required=True, help="folders of evaluation shards")
    clean.add_argument("--output", help="write the folder without the matches here")
    clean.add_argument("--report", help="write all matches here, as JSON lines")
    clean.add_argument(
        "--max-distance",
        type=int,
        default=14,
        help="differing bits of 63 up to which two images are compared pixel by pixel (default %(default)s)",
    )
    clean.add_argument("--images-only", action="store_true", help="do not compare captions and questions")
    return parser


if __name__ == "__main__":
    sys.exit(main())
