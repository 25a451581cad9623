"""Judges against each other on the same pairs: python apps/compare.py <name>=<evaluation folder>[,<folder>...]
<name>=...

    python apps/compare.py cold_start=outputs/tiny/evaluation/cold_start/test grpo=outputs/tiny/evaluation/grpo/test
    python apps/compare.py grpo=outputs/compare/{grpo-0,grpo-1}/tiny/evaluation/grpo/test ...      (apps/compare_objectives.sh does it)

A folder is what `urt-train evaluate` wrote. Several folders of a name are seeds of the same thing: they are pooled. The
first name is what the others are compared with. Prints one Markdown table per dialect.
"""

from pathlib import Path

from benchmarks.program import run_script
from urt_core import Dialect
from urt_core.bench.comparison import comparison_table
from urt_core.errors import DataError
from urt_core.judging.pairs import JudgedPair, read_judged_pairs

JUDGEMENTS = "judgements.jsonl"


def main(arguments: list[str]) -> None:
    runs: dict[str, list[list[JudgedPair]]] = {}
    for argument in arguments:
        name, equals, folders = argument.partition("=")
        if not (name and equals and folders):
            raise DataError(f"{argument!r} is no judge; allowed: <name>=<evaluation folder>[,<folder>...]")
        for folder in folders.split(","):
            path = Path(folder) / JUDGEMENTS
            if not path.is_file():
                raise DataError(f"{folder} has no {JUDGEMENTS}; give a folder that urt-train evaluate wrote")
            runs.setdefault(name, []).append(read_judged_pairs(path))
    if len(runs) < 2:
        raise DataError(f"{len(runs)} judges to compare; give two or more, as <name>=<evaluation folder>")
    asked = {pair.dialect for judged in runs.values() for run in judged for pair in run}
    tables = [comparison_table(runs, dialect=dialect) for dialect in Dialect if dialect in asked]
    for table in tables:
        print(table.markdown())


if __name__ == "__main__":
    run_script(main, text=__doc__)
