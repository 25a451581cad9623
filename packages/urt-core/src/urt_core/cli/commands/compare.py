"""`urt compare`"""

import argparse
import json
from collections.abc import Iterator

from urt_core.cli.batch.dry_run import show_first_prompt
from urt_core.cli.batch.requests import Row, Rows, one_request, row_request
from urt_core.cli.batch.run import run_batch
from urt_core.cli.commands.example import run_example
from urt_core.cli.display import print_comparison
from urt_core.cli.judge import build_scorer, opened_scorer, refuse_beside_instant
from urt_core.comparison import Comparison
from urt_core.engines import Status
from urt_core.errors import ConfigError, UrtError
from urt_core.example import JUDGE, PAIRS
from urt_core.records import PreferenceRecord
from urt_core.scorer import Scorer

FIELDS = ("task", "text", "first", "second")


def run_compare(options: argparse.Namespace) -> int:
    if options.example:
        options.model, options.input = options.model or str(JUDGE), str(PAIRS)
    elif not options.model:
        raise ConfigError(
            "--model missing: give a folder or hub id, or try --example, which brings judge and pairs along"
        )
    refuse_beside_instant(options)
    if options.dry_run:
        return show_first_prompt(options, FIELDS)
    if options.input and not options.example:
        return run_batch(options, build_scorer(options), compare_rows)
    judge = build_scorer(options)
    request = {} if options.example else one_request(options, FIELDS)
    with opened_scorer(judge) as scorer:
        if options.example:
            return run_example(options, scorer, FIELDS)
        comparison = scorer.compare(**request)
        if options.json:
            print(json.dumps(comparison.to_json(), ensure_ascii=False, indent=2))
        else:
            print_comparison(comparison, text=request["text"])
        return 0 if comparison.status is Status.OK else 3


def compare_rows(scorer: Scorer, rows: Rows) -> Iterator[Comparison]:
    def record(key: str, row: Row) -> PreferenceRecord | Comparison:
        try:
            return scorer.record(key=key, **row_request(row, FIELDS, key))
        except UrtError as error:  # this row's fault, whatever it is
            return scorer.failed_pair(error, key=key)

    records = (record(key, row) for key, row in rows)
    return scorer.compare_batch(records, ordered=False)
