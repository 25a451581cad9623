"""`urt compare --example`: the six pairs of the package, by the judge of the package or by another."""

import argparse
import json

from urt_core.cli.batch.inputs import BadRow, Requests
from urt_core.cli.batch.requests import row_request
from urt_core.cli.display import noun_of, print_comparison, verdict_text
from urt_core.cli.terminal import Style, styled, table, wrapped
from urt_core.comparison import Comparison
from urt_core.engines import Status
from urt_core.example import FOLDER, JUDGE, PAIRS, WHAT_THE_JUDGE_IS
from urt_core.records import Preference
from urt_core.scorer import Scorer

NOT_JUDGED = 3


def run_example(options: argparse.Namespace, scorer: Scorer, fields: tuple[str, ...]) -> int:
    """Judges the six pairs: the first in full, then all in a table. Exit code 3 where one could not be judged."""
    rows = {key: row for key, row in Requests(PAIRS) if not isinstance(row, BadRow)}
    records = [scorer.record(key=key, **row_request(row, fields, key)) for key, row in rows.items()]
    comparisons = list(scorer.compare_batch(records))
    labels = {key: Preference(row["preference"]) for key, row in rows.items()}
    judge = WHAT_THE_JUDGE_IS if options.model == str(JUDGE) else f"The judge is {options.model}."
    if options.json:
        print(json.dumps({"judge": judge, "comparisons": [each.to_json() for each in comparisons]}, indent=2))
    else:
        first = comparisons[0]
        print_comparison(first, text=rows[first.key]["text"])
        print(f"\n{table([['pair', 'verdict', 'right is'], *(line(each, labels) for each in comparisons)])}\n")
        num_right = sum(each.preference is labels[each.key] for each in comparisons)
        print(styled(f"{num_right} of {len(comparisons)} right. The pictures are in {FOLDER}", Style.BOLD))
        print(wrapped(judge))
    return 0 if all(each.status is Status.OK for each in comparisons) else NOT_JUDGED


def line(comparison: Comparison, labels: dict[str, Preference]) -> list[str]:
    noun = noun_of(comparison)
    judged = comparison.status is Status.OK
    verdict = verdict_text(comparison.preference, noun) if judged else f"not judged: {comparison.status}"
    return [comparison.key, verdict, verdict_text(labels[comparison.key], noun)]
