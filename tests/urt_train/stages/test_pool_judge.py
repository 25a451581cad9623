"""What the bar of a judging stage says, with and without labels. How pairs are judged: rejection_sampling/test_pool.py,
internalise/test_votes.py and test_ranks.py."""

from dataclasses import replace

from rich.console import Console

from urt_core import Completion, Dialect
from urt_core.comparison import Order
from urt_core.judging.journal import Journal
from urt_core.judging.pairs import judged_pair
from urt_core.judging.share import Share
from urt_train.stages.pool_judge import OneBatch, judging_bar, num_left

RIGHT = Completion(text="Image 1 is better.")


def test_one_batch_is_the_whole_pool(records):
    batches = [list(batch) for batch in OneBatch(records)]
    assert batches == [[records]]
    assert len(OneBatch(records)) == 1


def test_the_bar_counts_right_ones_where_there_are_labels(records):
    def shown(*pairs) -> str:
        console = Console(record=True, force_terminal=True, width=120)
        with judging_bar(console, title="internalising", total=len(pairs)) as advance:
            for pair in pairs:
                advance(judged_pair(pair, RIGHT, order=Order.GIVEN, dialect=Dialect.DIRECT))
        return console.export_text()

    labelled = records[0]
    text = shown(labelled, labelled.swap().swap())
    assert "internalising: judging" in text
    assert "right 100.0%" in text
    assert "right" not in shown(replace(labelled, preference=None)), "nobody knows"


def test_without_a_console_there_is_none(records):
    with judging_bar(None, title="internalising", total=1) as advance:
        advance(judged_pair(records[0], RIGHT, order=Order.GIVEN, dialect=Dialect.DIRECT))


def test_what_an_earlier_run_has_answered_is_not_left(records, tmp_path):
    said = judged_pair(records[0], RIGHT, order=Order.GIVEN, dialect=Dialect.DIRECT)
    with Journal(tmp_path, about={}) as journal:
        assert num_left(10, journal, Share()) == 10
        journal.append([replace(said, question=str(number)) for number in range(3)], seconds=0.1)
    with Journal(tmp_path, about={}) as journal:
        assert num_left(10, journal, Share()) == 7
        assert num_left(10, journal, Share(rank=1, num=2)) == 4
