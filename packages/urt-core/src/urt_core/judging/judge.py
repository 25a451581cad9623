"""The one act of judging: records and an engine in, judged pairs out, as a stream.

Scorer, benchmarks, evaluation, distillation and rejection sampling differ in which records they bring and what they do
with the verdicts; what is asked, in which orders, how often, what is kept and what is never asked twice stands here.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Literal

from urt_core.comparison import Order
from urt_core.engines import AsyncEngine, Completion, Engine, SamplingParams, Usage, traits
from urt_core.errors import ConfigError, EngineError
from urt_core.judging.asking import Asker, Question
from urt_core.judging.journal import ANSWERED, Journal
from urt_core.judging.pairs import JudgedPair, judged_pair
from urt_core.judging.questions import prompt_digest, question_id
from urt_core.judging.share import Share
from urt_core.media import preprocessing_id
from urt_core.prompts import Dialect, Prompt, render
from urt_core.records import PreferenceRecord

Orders = Literal["given", "both", "random"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """How each pair is asked about.

    Asked(dialect=Dialect.V1, orders="both", votes=1, sampling=SamplingParams(max_tokens=1024), seed=0)
    """

    dialect: Dialect
    orders: Orders = "both"
    """As given, in both orders, or in one that is drawn by the key of the pair and `seed`."""
    votes: int = 1
    """Judgements in each order."""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    seed: int = 0
    """Of the orders and, above temperature 0, of the judgements, in place of that of `sampling`."""
    purpose: str = "judging"
    """Judging the same pairs for something else draws other numbers."""
    templates: str | PathLike[str] | None = None
    """A folder with wording of the caller's own."""

    def __post_init__(self) -> None:
        if self.orders not in ("given", "both", "random"):
            raise ConfigError(f"orders is {self.orders!r}; allowed: 'given', 'both', 'random'")
        if self.votes < 1 or (self.votes > 1 and self.sampling.temperature == 0):
            raise ConfigError(
                f"votes is {self.votes} at temperature {self.sampling.temperature}; it must be at least 1, and more than one needs a "
                "temperature above 0, such as 0.7: greedy judgements would all be the same"
            )

    @property
    def num_per_pair(self) -> int:
        """Judgements of one pair."""
        return self.votes * (2 if self.orders == "both" else 1)

    def orders_of(self, key: str) -> tuple[Order, ...]:
        if self.orders == "random":
            return (Order.SWAPPED if derived_seed(self.seed, "order", key) % 2 else Order.GIVEN,)
        return (Order.GIVEN, Order.SWAPPED) if self.orders == "both" else (Order.GIVEN,)

    def sampled(self, keys: Sequence[str]) -> SamplingParams:
        """With a seed that is a function of the pairs asked together, so that a run that goes on draws what a straight
        one draws."""
        sampling = replace(self.sampling, num_completions=self.votes)
        if sampling.temperature == 0:
            return sampling
        return replace(sampling, seed=derived_seed(self.seed, self.purpose, *keys))


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """When judging stops: Limits(failures_in_a_row=20)"""

    failures_in_a_row: int | None = 20
    """Requests that fail one after the other mean a wrong key, a dead endpoint or a spent budget, not twenty bad
    pairs."""


def judge(
    records: Iterable[PreferenceRecord],
    *,
    engine: Engine | AsyncEngine,
    asked: Asked,
    journal: Journal | None = None,
    share: Share | None = None,
    block: int | None = None,
    limits: Limits | None = None,
    again: bool = False,
) -> Iterator[JudgedPair]:
    """Judge this process's share of `records`, lazily; what `journal` has an answer to is not asked, and handed out
    only `again`.

    A local engine computes `block` pairs together (as many as fill its batch), in blocks whose borders depend on the
    records alone; an engine that keeps requests in flight gets them one by one. Either way the lines are the same for
    any number of processes. Every line is in the journal before it is handed out. `EngineError` where requests fail one
    after the other.
    """
    share, limits = share or Share(), limits or Limits()
    size = block or default_block(engine, asked)
    budget = traits(engine).budget
    if journal and budget:
        budget.share(journal.spending)
    blocks = (Block.of(some, asked, engine) for some in share.blocks(records, size))
    alone = traits(engine).is_independent
    questions = (_question(block, asked, journal, again=again, alone=alone) for block in blocks)
    failures = 0
    for judged in Asker(engine).ask(questions, asked.sampled(()), ordered=journal is None):
        if journal is not None and judged.fresh:
            if budget is None:  # else it is noted as it is paid
                journal.spending.note(spent_on(judged.fresh))
            journal.append(judged.fresh, seconds=judged.seconds)
        for pair in judged.all:
            failures = 0 if pair.status in ANSWERED else failures + 1
            yield pair
            if failures == limits.failures_in_a_row:
                kept = (
                    "what it answered is kept, the same command goes on from there" if journal else "nothing was kept"
                )
                raise EngineError(
                    f"{engine.model!r} failed {failures} times in a row ({pair.status}: {pair.detail}); {kept}"
                )


def default_block(engine: Engine | AsyncEngine, asked: Asked) -> int:
    """Pairs that are asked together: as many as fill a local engine's batch; one, where an engine keeps requests in
    flight."""
    known = traits(engine)
    return 1 if known.is_concurrent else max(1, known.batch_size // asked.num_per_pair)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Some pairs that belong together."""

    fresh: Sequence[JudgedPair] = ()
    known: Sequence[JudgedPair] = ()
    """From the journal."""
    seconds: float = 0.0
    """Of each fresh one."""

    @property
    def all(self) -> Sequence[JudgedPair]:
        return [*self.known, *self.fresh]


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Some pairs as the judge is asked about them together."""

    shown: Sequence[tuple[PreferenceRecord, Order]]
    """Each pair in each order, as it is shown."""
    prompts: Sequence[Prompt]
    digests: Sequence[str]
    ids: Sequence[Sequence[str]]
    """Per prompt the question of each vote."""
    sampling: SamplingParams

    @classmethod
    def of(cls, records: Sequence[PreferenceRecord], asked: Asked, engine: Engine | AsyncEngine) -> "Block":
        policy = traits(engine).policy
        sampling = asked.sampled([record.key for record in records])
        shown: list[tuple[PreferenceRecord, Order]] = [
            (record if order is Order.GIVEN else record.swap(), order)
            for record in records
            for order in asked.orders_of(record.key)
        ]
        prompts = [render(record, asked.dialect, templates=asked.templates) for record, _ in shown]
        digests = [prompt_digest(prompt) for prompt in prompts]
        origin = (engine.model, preprocessing_id(policy) if policy else "")
        ids = [
            [
                question_id(*origin, digest, sampling, order=order, vote_index=vote, key=record.key)
                for vote in range(asked.votes)
            ]
            for (record, order), digest in zip(shown, digests, strict=True)
        ]
        return cls(shown=shown, prompts=prompts, digests=digests, ids=ids, sampling=sampling)

    @property
    def questions(self) -> list[str]:
        return [identity for votes in self.ids for identity in votes]


def _question(
    block: Block, asked: Asked, journal: Journal | None, *, again: bool, alone: bool
) -> Question[Judged] | Judged:
    """What is asked about a block, or what the journal has. A block with one open question is asked whole, because what
    is computed together decides the last digits of it; of an engine that answers each `alone`, the open prompts are."""
    answered = journal.answered if journal else {}
    known = [identity for identity in block.questions if identity in answered]
    read_again = [journal.read(identity) for identity in known] if journal and again else []
    if len(known) == len(block.questions):
        return Judged(known=read_again)
    began = time.monotonic()
    places = [place for place, votes in enumerate(block.ids) if not alone or not answered.keys() >= set(votes)]

    def read(groups: Sequence[Sequence[Completion]]) -> Judged:
        fresh = [
            judged_pair(
                block.shown[place][0],
                completion,
                order=block.shown[place][1],
                dialect=asked.dialect,
                vote_index=vote,
                question=block.ids[place][vote],
                prompt_sha256=block.digests[place],
            )
            for place, group in zip(places, groups, strict=True)
            for vote, completion in enumerate(group)
            if block.ids[place][vote] not in answered
        ]
        return Judged(fresh=fresh, known=read_again, seconds=(time.monotonic() - began) / max(1, len(places)))

    return Question(prompts=tuple(block.prompts[place] for place in places), read=read, sampling=block.sampling)


def spent_on(pairs: Iterable[JudgedPair]) -> Usage:
    tokens = [(pair.prompt_tokens, pair.num_tokens) for pair in pairs]
    return Usage(prompt_tokens=sum(prompt for prompt, _ in tokens), completion_tokens=sum(said for _, said in tokens))


def derived_seed(*parts: object) -> int:
    """A seed of 62 bits that is a function of what it is for alone.

    >>> derived_seed(0, "order", "pair-17") == derived_seed(0, "order", "pair-17")
    True
    """
    return int.from_bytes(hashlib.sha256(":".join(map(str, parts)).encode()).digest()[:8], "little") >> 2
