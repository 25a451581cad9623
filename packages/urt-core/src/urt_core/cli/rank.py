"""`urt rank`"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from urt_core.cli.batch import run_batch
from urt_core.cli.display import print_ranking
from urt_core.cli.dry_run import show_first_prompt
from urt_core.cli.judge import open_scorer
from urt_core.cli.requests import need_fields, one_request, row_fields
from urt_core.ranking import Ranking, num_comparisons
from urt_core.scorer import Scorer

FIELDS = ("task", "text", "candidates")


def run_rank(options: argparse.Namespace) -> int:
    if options.dry_run:
        return show_first_prompt(options, FIELDS, num_calls=partial(num_calls, options))
    with open_scorer(options) as scorer:
        if options.input:
            return run_batch(options, scorer, partial(rank_rows, method=options.method, num_rounds=options.num_rounds))
        request = one_request(options, FIELDS)
        ranking = scorer.rank(method=options.method, num_rounds=options.num_rounds, **request)
        if options.json:
            print(json.dumps(ranking.to_json(), ensure_ascii=False, indent=2))
        else:
            print_ranking(ranking, names=request["candidates"])
        return 0 if ranking.num_failed <= options.max_failures * len(ranking.comparisons) else 3


def num_calls(options: argparse.Namespace, request: dict[str, Any]) -> int:
    pairs = num_comparisons(len(request["candidates"]), options.method, options.num_rounds)
    return pairs * options.votes * (2 if options.orders == "both" else 1)


def rank_rows(
    scorer: Scorer, rows: Iterator[tuple[str, dict[str, Any]]], *, method: Any, num_rounds: int | None
) -> Iterator[Ranking]:
    for key, row in rows:
        fields = row_fields(need_fields(row, FIELDS, key), FIELDS)
        yield scorer.rank(key=key, method=method, num_rounds=num_rounds, **fields)
