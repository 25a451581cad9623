"""The processes of a bench command: each has a judge of its own, on GPUs of its own, and judges its share."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from urt_core.cli.judge import build_scorer, is_served
from urt_core.judging.pairs import JudgedPair
from urt_core.judging.share import Share
from urt_core.judging.workers import Workers, see_own_devices
from urt_core.progress import Progress
from urt_core.scorer import Scorer


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One process of the command; the first is the one that was typed."""

    scorer: Scorer
    """Its engine is opened where something is left to ask."""
    share: Share
    workers: Workers
    """Of the first the others; of the others none."""

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[JudgedPair], None]]:
        """What hears of each judgement of this process, where all of them make `total`; it raises where another process
        has failed."""
        with Progress(total=-(-total // self.share.num)) as progress:

            def seen(pair: JudgedPair) -> None:
                self.workers.check()
                progress.advance(failed=pair.verdict is None, num_tokens=pair.num_tokens)

            yield seen


@contextmanager
def joined(options: argparse.Namespace) -> Iterator[Member]:
    """This process as one of `--workers`, or of as many as torchrun has started."""
    with Workers(options.workers) as workers:
        if not is_served(options):
            see_own_devices(num_devices=dict(options.engine_option).get("tensor_parallel_size", 1))
        yield Member(scorer=build_scorer(options), share=Share.from_environment(), workers=workers)
