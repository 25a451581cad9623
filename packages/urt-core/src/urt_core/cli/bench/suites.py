"""`urt bench suites`: what moves a judge that should not, on any pairs."""

import argparse
from functools import partial
from pathlib import Path

from urt_core.atomic import write_whole
from urt_core.bench.run import what_it_depends_on
from urt_core.bench.suites.running import NUM_ROUNDS, run_suites
from urt_core.bench.suites.tables import suite_tables
from urt_core.cli.bench.records import LabelledRecords
from urt_core.cli.bench.run import weights_identity
from urt_core.cli.bench.scores import print_tables
from urt_core.cli.bench.workers import joined
from urt_core.cli.judge import is_served, opened_scorer
from urt_core.engines.unopened import without_opening
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked, default_block

RESULT, TABLE = "suites.json", "suites.md"


def run_suites_command(options: argparse.Namespace) -> int:
    folder = Path(options.output)
    with joined(options) as member:
        scorer, share = member.scorer, member.share
        records = LabelledRecords(options.data, scorer=scorer)
        asked = Asked(dialect=scorer.dialect, sampling=scorer.sampling, templates=options.templates)
        about = what_it_depends_on(
            benchmark="pairs",
            engine=scorer.engine,
            asked=asked,
            data={**records.about(), "suites": options.pairs},
            judge_identity={} if is_served(options) else weights_identity(options.model),
            block=default_block(scorer.engine, asked),
        )
        pairs = records.sequence()
        judged = partial(
            run_suites, records=pairs, asked=asked, num_pairs=options.pairs, share=share, check=member.workers.check
        )
        left = Journal.left_by(folder, about=about, rank=share.rank)
        report = left and without_opening(lambda: judged(scorer.engine, journal=left))
        if report is None:
            with (
                opened_scorer(scorer) as judge,
                Journal(folder, about=about, rank=share.rank) as journal,
                member.progress(NUM_ROUNDS * min(options.pairs, len(records))) as seen,
            ):
                report = judged(judge.engine, journal=journal, seen=seen)
    if share.rank:
        return 0
    report.save(folder / RESULT)
    tables = suite_tables(report)
    write_whole(folder / TABLE, "\n".join(table.markdown() for table in tables))
    print_tables(tables)
    return 0
