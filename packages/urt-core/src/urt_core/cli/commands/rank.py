"""`urt rank`"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from urt_core.cli.batch.dry_run import show_first_prompt
from urt_core.cli.batch.requests import Rows, one_request, row_request
from urt_core.cli.batch.run import run_batch
from urt_core.cli.display import print_ranking
from urt_core.cli.judge import build_scorer, opened_scorer, refuse_beside_instant
from urt_core.engines import SamplingParams
from urt_core.errors import ConfigError, DataError, MediaError, PromptError, RecordError
from urt_core.instant.modes import Mode, one_pass_sampling
from urt_core.ranking import Ranking, failed_ranking, num_comparisons
from urt_core.scorer import Scorer

FIELDS = ("task", "text", "candidates")


def run_rank(options: argparse.Namespace) -> int:
    one_pass_sampling(Mode(options.mode), SamplingParams())  # refuses auto before a judge is opened
    refuse_beside_instant(options)
    if options.dry_run:
        return show_first_prompt(options, FIELDS, num_calls=partial(num_calls, options))
    if options.input:
        ranked = partial(rank_rows, method=options.method, num_rounds=options.num_rounds)
        return run_batch(options, build_scorer(options), ranked)
    judge, request = build_scorer(options), one_request(options, FIELDS)
    with opened_scorer(judge) as scorer:
        ranking = scorer.rank(method=options.method, num_rounds=options.num_rounds, **request)
        if options.json:
            print(json.dumps(ranking.to_json(), ensure_ascii=False, indent=2))
        else:
            print_ranking(ranking, names=request["candidates"])
        return 0 if ranking.num_failed <= options.max_failures * len(ranking.comparisons) else 3


def num_calls(options: argparse.Namespace, request: dict[str, Any]) -> int:
    pairs = num_comparisons(len(request["candidates"]), options.method, options.num_rounds)
    return pairs * (2 if options.orders == "both" else 1)


def rank_rows(scorer: Scorer, rows: Rows, *, method: Any, num_rounds: int | None) -> Iterator[Ranking]:
    for key, row in rows:
        try:
            request = row_request(row, FIELDS, key)
            if not isinstance(request["candidates"], list):
                raise DataError(f"request {key}: candidates must be a list, not {type(request['candidates']).__name__}")
            yield scorer.rank(key=key, method=method, num_rounds=num_rounds, **request)
        except (ConfigError, DataError, MediaError, PromptError, RecordError) as error:  # this row's fault
            yield failed_ranking(scorer.failed_pair(error, key=key))
