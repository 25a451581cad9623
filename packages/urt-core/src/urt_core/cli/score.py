"""`urt score`"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from urt_core.cli.batch import run_batch
from urt_core.cli.display import print_score
from urt_core.cli.dry_run import show_first_prompt
from urt_core.cli.judge import open_scorer
from urt_core.cli.requests import need_fields, one_request, row_fields
from urt_core.engines import Status
from urt_core.points import PointScore
from urt_core.scorer import Scorer

FIELDS = ("task", "text", "candidate")


def run_score(options: argparse.Namespace) -> int:
    if options.dry_run:
        return show_first_prompt(options, FIELDS, num_calls=lambda request: options.votes)
    with open_scorer(options) as scorer:
        if options.input:
            return run_batch(options, scorer, partial(score_rows, contract=options.contract))
        score = scorer.score(contract=options.contract, **one_request(options, FIELDS))
        if options.json:
            print(json.dumps(score.to_json(), ensure_ascii=False, indent=2))
        else:
            print_score(score)
        return 0 if score.status is Status.OK else 3


def score_rows(scorer: Scorer, rows: Iterator[tuple[str, dict[str, Any]]], *, contract: str) -> Iterator[PointScore]:
    requests = (
        scorer.point_request(key=key, contract=contract, **row_fields(need_fields(row, FIELDS, key), FIELDS))
        for key, row in rows
    )
    return scorer.score_batch(requests, contract=contract, ordered=False)
