"""`urt bench run`: one process, several of this command, or as many as torchrun starts."""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

from urt_core.bench.rescoring import find_benchmark
from urt_core.bench.run import answered_share, finish_run, run_share, wait_for_all, what_it_depends_on
from urt_core.cli.bench.records import LabelledRecords
from urt_core.cli.bench.scores import print_result
from urt_core.cli.bench.workers import Member, joined
from urt_core.cli.judge import is_served, opened_scorer
from urt_core.judging.judge import Asked, default_block

TOO_MANY_FAILURES = 3


def run_run(options: argparse.Namespace) -> int:
    find_benchmark(options.benchmark).rule(options.rule)
    with joined(options) as member:
        return judge_and_count(options, member)


def judge_and_count(options: argparse.Namespace, member: Member) -> int:
    folder, scorer, share = Path(options.output), member.scorer, member.share
    records = LabelledRecords(options.data, scorer=scorer, limit=options.limit)
    asked = Asked(
        dialect=scorer.dialect,
        orders=options.asked_orders,
        votes=options.votes,
        sampling=scorer.sampling,
        seed=options.seed or 0,
        templates=options.templates,
    )
    block = default_block(scorer.engine, asked)
    about = what_it_depends_on(
        benchmark=options.benchmark,
        engine=scorer.engine,
        asked=asked,
        data=records.about(),
        judge_identity={} if is_served(options) else weights_identity(options.model),
        block=block,
    )
    expected = len(records) * asked.num_per_pair
    how: Any = {"asked": asked, "about": about, "share": share, "block": block}
    journal = answered_share(folder, records.shared(), engine=scorer.engine, num_records=len(records), **how)
    if journal is None:
        with opened_scorer(scorer) as judge, member.progress(expected) as seen:
            journal = run_share(folder, records.shared(), engine=judge.engine, seen=seen, **how)
    if share.rank:
        return 0
    wait_for_all(journal, expected, check=member.workers.check, say=lambda text: print(f"urt: {text}", file=sys.stderr))
    result = finish_run(folder, journal, rule=options.rule)
    print_result(str(folder), result)
    for note in result.notes:
        print(f"urt: {folder}: {note}", file=sys.stderr)
    rate = result.n_failed / result.n_total if result.n_total else 0.0
    return TOO_MANY_FAILURES if rate > options.max_failures else 0


def weights_identity(model: str) -> dict[str, str]:
    """SHA-256 over a folder's weights; a hub id is its own identity."""
    digest, files = hashlib.sha256(), sorted(Path(model).glob("*.safetensors"))
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return {"weights": digest.hexdigest()} if files else {}
