"""A file of requests, judged with progress, an output that can be continued, and an exit code."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from urt_core import __version__
from urt_core.cli.batch.inputs import Requests
from urt_core.cli.batch.requests import Rows
from urt_core.cli.batch.results import ResultFile
from urt_core.cli.judge import opened_scorer
from urt_core.engines import Status, traits
from urt_core.errors import ConfigError
from urt_core.media import preprocessing_id
from urt_core.progress import Progress
from urt_core.scorer import Scorer

TOO_MANY_FAILURES = 3
# Where the first so many all fail, the rest would too.
HOPELESS_AFTER = 50
# Options that change how fast results come, and not what they are.
WITHOUT_EFFECT = {
    *(
        "run",
        "input",
        "output",
        "json",
        "dry_run",
        "max_failures",
        "no_cache",
        "api_key_env",
        "profile",
        "vllm_servers",
        "batch_size",
        "concurrency",
    ),
    *("timeout", "budget_tokens", "budget_cost", "prompt_price", "completion_price", "device"),
}


def run_batch(
    options: argparse.Namespace,
    scorer: Scorer,
    judge: Callable[[Scorer, Rows], Iterator[Any]],
) -> int:
    """The engine of `scorer` is opened where something is left to ask. `judge` turns (key, row) pairs into results with `to_json()`, `status` and `usage`, in any order."""
    if not options.output:
        raise ConfigError("--input needs --output, the file that the results are appended to")
    requests = Requests(options.input)
    settings = {name: value for name, value in vars(options).items() if name not in WITHOUT_EFFECT}
    settings |= {"input": requests.fingerprint(), "urt_version": __version__, "model_identity": scorer.engine.model}
    # What judge.json said, where no option did.
    settings |= {"dialect": scorer.dialect, "max_tokens": scorer.sampling.max_tokens}
    policy = traits(scorer.engine).policy
    settings["preprocessing"] = preprocessing_id(policy) if policy else ""

    results = ResultFile(options.output, settings=settings)
    before = results.read()
    with ExitStack() as stack:
        if any(key not in before for key, _ in requests):
            scorer = stack.enter_context(opened_scorer(scorer))
            if not options.no_cache:
                scorer = scorer.with_cache(f"{options.output}.cache.sqlite")
        done = stack.enter_context(results).done
        pending = ((key, row) for key, row in requests if key not in done)
        with Progress(total=len(requests), done=len(done)) as progress:
            if done:
                progress.say(f"{len(done):,} of {len(requests):,} are done already")
            failed = 0
            for asked, result in enumerate(judge(scorer, pending), start=1):
                results.append(result.to_json())
                failed += result.status is not Status.OK
                progress.advance(failed=result.status is not Status.OK, num_tokens=result.usage.completion_tokens)
                if asked == failed == HOPELESS_AFTER:
                    progress.say(f"the first {asked} all failed, the last with: {result.status}, {result.detail}")
                    break
        rate = results.failure_rate
        num_failed = round(rate * len(results.statuses))
    print(
        f"{len(results.statuses):,} results in {Path(options.output)}, {num_failed:,} failed ({rate:.2%})",
        file=sys.stderr,
    )
    return TOO_MANY_FAILURES if rate > options.max_failures else 0
