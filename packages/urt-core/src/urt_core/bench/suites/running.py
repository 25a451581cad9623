"""A judge and some pairs in, what moves it out.

Each pair is shown in one order, drawn by its key. The candidate that did not win there is favoured by something that
says nothing about its quality; how often it wins then is the inflation. A steady judge has 0 %.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from urt_core.atomic import write_whole
from urt_core.bench.rates import Rate
from urt_core.bench.saved import known_fields, read_saved, saved_rows
from urt_core.bench.suites.confidence import Confidence, confidences
from urt_core.bench.suites.variants import VARIANTS, Variant
from urt_core.comparison import Order
from urt_core.engines import AsyncEngine, Engine, traits
from urt_core.errors import DataError
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked, derived_seed
from urt_core.judging.pairs import JudgedPair
from urt_core.judging.share import Share
from urt_core.judging.together import judge_together
from urt_core.records import Preference, PreferenceRecord, key_with

SCHEMA = 1
NUM_EXAMPLES = 2
NUM_ROUNDS = 2 + len(VARIANTS) + 3
"""At most so many judgements of each pair: both orders, every variant, the votes."""
VOTES, VOTE_TEMPERATURE = 3, 0.7


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One row of the suites' table.

    Finding(suite="style", variant="brightness", asks="the loser, brighter, wins", rate=Rate(successes=3, n=40),
    unreadable=Rate(successes=0, n=41),
            examples=(Example(...),))
    """

    suite: str
    variant: str
    asks: str
    """What the rate counts."""
    ideal: float | None
    """The share of a perfect judge; None where there is none."""
    rate: Rate
    unreadable: Rate
    examples: tuple[Example, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A pair on which a variant moved the verdict: Example(key="test-17", order="given", before="first",
    after="second", text="...")"""

    key: str
    order: str
    before: str
    after: str
    text: str
    """What the judge wrote about the changed pair."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteReport:
    """What all suites found about one judge."""

    model: str
    num_pairs: int
    findings: tuple[Finding, ...]
    confidences: tuple[Confidence, ...]

    def save(self, path: Path) -> None:
        value = {"schema": SCHEMA, **asdict(self)}
        write_whole(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        value = known_fields(cls, {"confidences": (), **read_saved(path, schema=SCHEMA)}, path=path)
        findings = tuple(
            Finding(
                **{
                    **known_fields(Finding, row, path=path),
                    "rate": Rate.from_json(row["rate"], path=path),
                    "unreadable": Rate.from_json(row["unreadable"], path=path),
                    "examples": tuple(
                        Example(**known_fields(Example, example, path=path)) for example in row.get("examples", ())
                    ),
                }
            )
            for row in saved_rows(value["findings"], path=path)
        )
        known = tuple(Confidence.from_json(row, path=path) for row in saved_rows(value["confidences"], path=path))
        return cls(model=value["model"], num_pairs=value["num_pairs"], findings=findings, confidences=known)


def run_suites(
    engine: Engine | AsyncEngine,
    records: Sequence[PreferenceRecord],
    *,
    asked: Asked,
    num_pairs: int = 48,
    seed: int = 0,
    journal: Journal | None = None,
    share: Share | None = None,
    seen: Callable[[JudgedPair], None] = lambda pair: None,
    check: Callable[[], None] = lambda: None,
) -> SuiteReport:
    """All suites on `num_pairs` of `records`, evenly spread; `seen` hears of every judgement of this process. Several
    processes share the judging of each round, and each has the whole report.

    An engine that gives log-probabilities is asked for them, too; an endpoint may not, so it has no reliability by them.
    """
    num = min(num_pairs, len(records))
    chosen = [records[place * len(records) // num] for place in range(num)]
    if not chosen:
        raise DataError("the suites have no pair to judge; give records")
    judged = partial(judge_together, engine=engine, journal=journal, share=share, seen=seen, check=check)
    sampling = replace(asked.sampling, logprobs=traits(engine).gives_logprobs)
    known = judged(chosen, asked=replace(asked, orders="both", sampling=sampling))
    findings = _behaviour(known)
    before = {(pair.key, pair.order): pair for pair in known}
    for variant in VARIANTS:
        if finding := _inflation(variant, chosen, asked, before, seed, judged):
            findings.append(finding)
    several = Asked(
        dialect=asked.dialect,
        orders="random",
        votes=VOTES,
        sampling=replace(asked.sampling, temperature=VOTE_TEMPERATURE),
        seed=seed,
        templates=asked.templates,
    )
    votes = judged(chosen, asked=several)
    findings.append(_self_consistency(votes))
    return SuiteReport(
        model=engine.model,
        num_pairs=len(chosen),
        findings=tuple(findings),
        confidences=tuple(confidences(known, votes)),
    )


def _inflation(
    variant: Variant,
    records: Sequence[PreferenceRecord],
    asked: Asked,
    before: Mapping[tuple[str, Order], JudgedPair],
    seed: int,
    judged: Callable[..., list[JudgedPair]],
) -> Finding | None:
    shown: dict[str, tuple[JudgedPair, PreferenceRecord]] = {}
    for record in records:
        order = Order.SWAPPED if derived_seed(seed, "suite", record.key) % 2 else Order.GIVEN
        base = before[record.key, order]
        if base.verdict is None or base.verdict is Preference.TIE:
            continue
        as_shown = record if order is Order.GIVEN else record.swap()
        changed = variant.change(as_shown, base.verdict.swap())
        if changed is not None:
            key = key_with(record.key, variant.slug)
            facts = {**changed.metadata, "category": f"{variant.suite}: {variant.name}", "item": record.key}
            shown[key] = (base, replace(changed, key=key, metadata=facts))
    if not shown:
        return None
    is_same = variant.suite == "identical"
    found = judged([record for _, record in shown.values()], asked=replace(asked, orders="given"))
    read = [pair for pair in found if pair.verdict is not None]
    if is_same:  # nothing to choose between: the rate is that of the place
        decided = [pair for pair in read if pair.verdict is not Preference.TIE]
        rate, asks, ideal = (
            Rate.of(pair.verdict is Preference.FIRST for pair in decided),
            "the one shown first wins",
            0.5,
        )
        moved: list[JudgedPair] = []
    else:
        moved = [pair for pair in read if pair.verdict is shown[pair.key][0].verdict.swap()]  # pyright: ignore[reportOptionalMemberAccess]
        rate, asks, ideal = Rate(successes=len(moved), n=len(read)), "the loser wins once favoured", 0.0
    return Finding(
        suite=variant.suite,
        variant=variant.name,
        asks=asks,
        ideal=ideal,
        rate=rate,
        unreadable=Rate.of(pair.verdict is None for pair in found),
        examples=tuple(
            Example(
                key=pair.item,
                order=str(shown[pair.key][0].order),
                before=str(shown[pair.key][0].verdict),
                after=str(pair.verdict),
                text=pair.text,
            )
            for pair in moved[:NUM_EXAMPLES]
        ),
    )


def _behaviour(known: Sequence[JudgedPair]) -> list[Finding]:
    """What the plain judgements in both orders tell."""
    by_key: dict[str, dict[Order, JudgedPair]] = defaultdict(dict)
    for pair in known:
        by_key[pair.key][pair.order] = pair
    unreadable = Rate.of(pair.verdict is None for pair in known)
    findings = []
    for name, is_media in (("pictures", True), ("answers in text", False)):
        orders = [found for found in by_key.values() if next(iter(found.values())).task.is_generation is is_media]
        flips, examples = [], []
        for found in orders:
            given, swapped = found[Order.GIVEN], found[Order.SWAPPED]
            if {given.verdict, swapped.verdict} <= {Preference.FIRST, Preference.SECOND}:
                flips.append(given.verdict is swapped.verdict)
                if flips[-1] and len(examples) < NUM_EXAMPLES:
                    examples.append(
                        Example(
                            key=given.key,
                            order="both",
                            before=str(given.verdict),
                            after=str(swapped.verdict),
                            text=swapped.text,
                        )
                    )
        if orders:
            findings.append(
                Finding(
                    suite="position",
                    variant=name,
                    asks="the other candidate wins in the other order",
                    ideal=0.0,
                    rate=Rate.of(flips),
                    unreadable=unreadable,
                    examples=tuple(examples),
                )
            )
    decided = [pair for pair in known if pair.verdict not in (None, Preference.TIE)]
    first = Rate.of(pair.verdict is Preference.FIRST for pair in decided)
    findings.append(
        Finding(
            suite="position",
            variant="first picked",
            asks="the one shown first wins",
            ideal=0.5,
            rate=first,
            unreadable=unreadable,
        )
    )
    follows = Rate.of(pair.answer_matches_totals for pair in known if pair.answer_matches_totals is not None)
    sums = Rate.of(pair.sums_consistent for pair in known if pair.sums_consistent is not None)
    for name, rate, asks in (
        ("verdict", follows, "the verdict follows the stated totals"),
        ("sums", sums, "the totals are the sums of the scores"),
    ):
        if rate.n:
            findings.append(
                Finding(suite="totals", variant=name, asks=asks, ideal=1.0, rate=rate, unreadable=unreadable)
            )
    return findings


def _self_consistency(votes: Sequence[JudgedPair]) -> Finding:
    by_key: dict[str, list[JudgedPair]] = defaultdict(list)
    for pair in votes:
        by_key[pair.key].append(pair)
    full = [cast for cast in by_key.values() if all(pair.verdict is not None for pair in cast)]
    return Finding(
        suite="self-consistency",
        variant=f"{VOTES} votes at temperature {VOTE_TEMPERATURE}",
        asks="all votes agree",
        ideal=1.0,
        rate=Rate.of(len({pair.verdict for pair in cast}) == 1 for cast in full),
        unreadable=Rate.of(pair.verdict is None for pair in votes),
    )
