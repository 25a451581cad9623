"""Several processes judge the same records, each its share, and each has all that was judged."""

import time
from collections.abc import Callable, Iterator, Sequence

from urt_core.comparison import Order
from urt_core.engines import AsyncEngine, Engine
from urt_core.errors import ConfigError
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked, Block, default_block, judge
from urt_core.judging.pairs import JudgedPair
from urt_core.judging.share import Share
from urt_core.records import PreferenceRecord

WAIT_S = 0.2


def judge_together(
    records: Sequence[PreferenceRecord],
    *,
    engine: Engine | AsyncEngine,
    asked: Asked,
    journal: Journal | None = None,
    share: Share | None = None,
    block: int | None = None,
    seen: Callable[[JudgedPair], None] = lambda pair: None,
    check: Callable[[], None] = lambda: None,
) -> list[JudgedPair]:
    """What was judged of all records, in their order, by this process and the others of `share`; of several of them, the
    journal says what the others found. `seen` hears of what this one judges; `check` is called while it waits, and
    raises where another has failed. `ConfigError` where several processes have no journal to meet in.
    """
    if share is not None and share.num > 1 and journal is None:
        raise ConfigError(f"{share.num} processes judge together, and no journal is given; allowed: one folder for all")
    share, size = share or Share(), block or default_block(engine, asked)
    place: dict[str, int] = {}
    passed = records if share.num > 1 else _noted(records, place)
    own: dict[str, JudgedPair] = {}
    for pair in judge(passed, engine=engine, asked=asked, journal=journal, share=share, block=size, again=True):
        own[pair.question] = pair
        seen(pair)
    if share.num == 1 or journal is None:
        return sorted(own.values(), key=lambda pair: (place[pair.key], pair.order is Order.SWAPPED, pair.vote_index))
    blocks = (Block.of(some, asked, engine) for some in Share().blocks(records, size))
    questions = [question for each in blocks for question in each.questions]
    while set(questions) - journal.look_again().keys():
        check()
        time.sleep(WAIT_S)
    return [own.get(question) or journal.read(question) for question in questions]


def _noted(records: Sequence[PreferenceRecord], place: dict[str, int]) -> Iterator[PreferenceRecord]:
    """The records one by one; `place` says afterwards where each stands."""
    for number in range(len(records)):
        record = records[number]
        place[record.key] = number
        yield record
