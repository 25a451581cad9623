"""`urt score`"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from typing import Literal

from urt_core.cli.batch.dry_run import show_first_prompt
from urt_core.cli.batch.requests import Row, Rows, one_request, row_request
from urt_core.cli.batch.run import run_batch
from urt_core.cli.display import print_score
from urt_core.cli.judge import build_scorer, opened_scorer
from urt_core.engines import Status
from urt_core.errors import UrtError
from urt_core.judging.faults import faulty
from urt_core.points import PointRequest, PointScore, failed_score
from urt_core.scorer import Scorer

FIELDS = ("task", "text", "candidate")


def run_score(options: argparse.Namespace) -> int:
    if options.dry_run:
        return show_first_prompt(options, FIELDS)
    if options.input:
        scored = partial(score_rows, contract=options.contract, against=options.against)
        return run_batch(options, build_scorer(options), scored)
    judge, request = build_scorer(options), one_request(options, FIELDS)
    with opened_scorer(judge) as scorer:
        score = scorer.score(contract=options.contract, against=options.against, **request)
        if options.json:
            print(json.dumps(score.to_json(), ensure_ascii=False, indent=2))
        else:
            print_score(score)
        return 0 if score.status is Status.OK else 3


def score_rows(
    scorer: Scorer, rows: Rows, *, contract: str, against: Literal["anchors"] | None = None
) -> Iterator[PointScore]:
    def request(key: str, row: Row) -> PointRequest | PointScore:
        try:
            return scorer.point_request(key=key, contract=contract, **row_request(row, FIELDS, key))
        except UrtError as error:  # this row's fault, whatever it is
            return failed_score(key=key, task=None, completion=faulty(error), contract=contract)

    requests = (request(key, row) for key, row in rows)
    return scorer.score_batch(requests, contract=contract, against=against, ordered=False)
