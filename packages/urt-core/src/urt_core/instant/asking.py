"""Pairs asked in one of the modes; in `auto` at once, and those that are not sure a second time with reasoning, a batch of pairs at a
time."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from os import PathLike

from urt_core.comparison import Comparison, Order, ProbabilityMethod, compare_votes, failed_comparison, read_vote
from urt_core.engines import Completion, SamplingParams
from urt_core.errors import PromptError, TemplateError
from urt_core.instant.modes import Bounds, Mode, after_reasoning, is_sure, one_pass_sampling
from urt_core.judging.asking import Asker, Question
from urt_core.judging.faults import faulty
from urt_core.prompts import Dialect, render
from urt_core.records import PreferenceRecord

Pair = PreferenceRecord | Comparison


def ask_pair(
    record: Pair,
    *,
    orders: Sequence[Order],
    dialect: Dialect,
    method: ProbabilityMethod,
    templates: str | PathLike[str] | None,
    origin: Mapping[str, str],
    finish: Callable[[Comparison], Comparison] | None = None,
) -> Question[Comparison] | Comparison:
    """The pair in `orders`, and how the answers become its comparison; `finish` has the last word. What failed before it could be asked
    passes through, and a pair that can't be rendered fails so."""
    if isinstance(record, Comparison):
        return record
    shown = {Order.GIVEN: record, Order.SWAPPED: record.swap()}

    def read(groups: Sequence[Sequence[Completion]]) -> Comparison:
        votes = [
            read_vote(completion, order=order, task=record.task, dialect=dialect)
            for order, completions in zip(orders, groups, strict=True)
            for completion in completions
        ]
        comparison = compare_votes(record, votes, method=method, **origin)
        return finish(comparison) if finish else comparison

    try:
        return Question(
            prompts=tuple(render(shown[order], dialect, templates=templates) for order in orders), read=read
        )
    except TemplateError:
        raise  # of all records, not of this one
    except PromptError as error:
        return failed_comparison(key=record.key, task=record.task, completion=faulty(error), method=method)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairAsker:
    """PairAsker(asker=Asker(engine), question=..., sampling=SamplingParams(), mode=Mode.AUTO, bounds=Bounds()).ask(records)"""

    asker: Asker
    question: Callable[[Pair, Mode], Question[Comparison] | Comparison]
    """What is asked about a pair, at once or with reasoning."""
    sampling: SamplingParams
    """Of reasoning."""
    mode: Mode
    bounds: Bounds

    def ask(self, records: Iterable[Pair], *, ordered: bool = True) -> Iterator[Comparison]:
        if self.mode is Mode.AUTO:
            return self._ask_auto(records)
        return self.asker.ask(*self._questions(records, self.mode), ordered=ordered)

    def aask(self, records: Iterable[Pair], *, ordered: bool = True) -> AsyncIterator[Comparison]:
        if self.mode is Mode.AUTO:
            return self._aask_auto(records)
        return self.asker.aask(*self._questions(records, self.mode), ordered=ordered)

    def _questions(
        self, records: Iterable[Pair], mode: Mode
    ) -> tuple[Iterable[Question[Comparison] | Comparison], SamplingParams]:
        return (self.question(record, mode) for record in records), one_pass_sampling(mode, self.sampling)

    def _ask_auto(self, records: Iterable[Pair]) -> Iterator[Comparison]:
        waiting = iter(records)
        while batch := list(islice(waiting, self.asker.traits.batch_size)):
            instants = list(self.asker.ask(*self._questions(batch, Mode.INSTANT)))
            open_pairs = self._open(batch, instants)
            yield from self._merged(instants, list(self.asker.ask(*self._questions(open_pairs, Mode.REASON))))

    async def _aask_auto(self, records: Iterable[Pair]) -> AsyncIterator[Comparison]:
        waiting = iter(records)
        while batch := list(islice(waiting, self.asker.traits.batch_size)):
            instants = [instant async for instant in self.asker.aask(*self._questions(batch, Mode.INSTANT))]
            questions = self._questions(self._open(batch, instants), Mode.REASON)
            reasoned = [comparison async for comparison in self.asker.aask(*questions)]
            for comparison in self._merged(instants, reasoned):
                yield comparison

    def _open(self, batch: Sequence[Pair], instants: Sequence[Comparison]) -> list[Pair]:
        return [record for record, instant in zip(batch, instants, strict=True) if not is_sure(instant, self.bounds)]

    def _merged(self, instants: Sequence[Comparison], reasoned: Sequence[Comparison]) -> Iterator[Comparison]:
        rest = iter(reasoned)
        for instant in instants:
            yield instant if is_sure(instant, self.bounds) else after_reasoning(instant, next(rest))
