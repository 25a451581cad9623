"""Teach a reasoning judge to state its confidence: the traces that it learns the form from, and what its confidence is worth then.

The judge judges pairs of the pool several times in both orders; a trace is one of its judgements and, behind it, the share of all its
votes that name the same candidate. No label is read. GRPO then reinforces confidences that are true, on labelled pairs of the same
pool: on pairs that the judge got wrong alone it would learn to be as unsure everywhere.

One seed, from nothing to the two calibration errors (before and after GRPO):

export PYTHONPATH=examples
OUT=outputs/confident/0
python apps/state_confidence.py --model embedded:judge --seed 0 --pairs 300 --votes 4 --output $OUT
python apps/train.py stage=cold_start seed=0 output_root=$OUT judge.dialect=confidence_reward:CONFIDENT \\
    data.cold_start=$OUT/traces cold_start.initial=$OUT/start
python apps/state_confidence.py --measure $OUT/tiny/cold_start/model --seed 0
python apps/train.py stage=grpo seed=0 output_root=$OUT judge.dialect=confidence_reward:CONFIDENT \\
    data.hard=$OUT/pool grpo.initial=$OUT/tiny/cold_start/model 'grpo.rewards={format: 1, confidence: 1}'
python apps/state_confidence.py --measure $OUT/tiny/grpo/model --seed 0
"""

import argparse
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

from urt_core import Dialect, Judgement, PreferenceRecord, SamplingParams, Scorer, Task, load_contract, parse_judgement
from urt_core.comparison import Order
from urt_core.engines import AsyncEngine, Engine
from urt_core.errors import ConfigError, DataError
from urt_core.example import JUDGE
from urt_core.judging.judge import Asked, judge
from urt_core.judging.pairs import JudgedPair
from urt_core.metrics.calibration import calibration, error_of_chance
from urt_core.metrics.intervals import wilson_interval
from urt_data import ShardWriter
from urt_data.sprites.build import build_split
from urt_data.sprites.world import Split

CONTRACT = "confidence_reward:CONFIDENT"
NUM_BINS = 10
"""Of the stated confidence, over 0 to 1."""
TEMPERATURE = 0.8
"""Of the votes, as in the rejection sampling and GRPO of the tiny recipe."""
OF_ITS_OWN = ("judge.json", "SHA256SUMS")
"""Files of a judge that say how it is asked, and what its folder holds: what is left are weights that any dialect can be taught to."""


def sprites(split: Split, number: int, *, seed: int) -> list[PreferenceRecord]:
    """`number` pairs of each task."""
    return list(build_split(split, dict.fromkeys(Task, number), seed=seed))


def traces_of(record: PreferenceRecord, cast: Sequence[JudgedPair]) -> Iterator[PreferenceRecord]:
    """For each order with a readable vote, the first of them and the share of all readable ones that name its candidate; without the
    label."""
    named = {order: [pair for pair in cast if pair.order is order and pair.verdict is not None] for order in Order}
    votes = [in_terms_of_the_record(pair) for pair in cast if pair.verdict is not None]
    for order, readable in named.items():
        if readable:
            share = mean(vote is in_terms_of_the_record(readable[0]) for vote in votes)
            yield replace(
                record.swap() if order is Order.SWAPPED else record,
                key=f"{record.key[:60]}-{str(order)[0]}",
                preference=None,
                completion=f"{readable[0].text.rstrip()}\n<confidence>{share:.1f}</confidence>",
            )


def in_terms_of_the_record(pair: JudgedPair) -> object:
    assert pair.verdict is not None
    return pair.verdict.swap() if pair.order is Order.SWAPPED else pair.verdict


def write_traces(
    records: Sequence[PreferenceRecord],
    *,
    engine: Engine | AsyncEngine,
    asked: Asked,
    contract: Dialect,
    output: Path,
    seed: int,
) -> dict[str, int]:
    """Shards of traces for the cold start and of the labelled pairs for GRPO; returns how many traces state what."""
    cast: dict[str, list[JudgedPair]] = defaultdict(list)
    for pair in judge(records, engine=engine, asked=asked):
        cast[pair.key].append(pair)
    about = {"source": "sprites", "split": str(Split.POOL), "seed": seed}
    stated: dict[str, int] = defaultdict(int)
    with ShardWriter(output / "pool", metadata=about, overwrite=True) as pool:
        for record in records:
            pool.write(record)
    with ShardWriter(output / "traces", metadata={**about, "judge": engine.model}, overwrite=True) as traces:
        for record in records:
            for trace in traces_of(record, cast[record.key]):
                read = parse_judgement(trace.completion or "", task=trace.task, dialect=contract)
                if not isinstance(read, Judgement) or read.confidence is None:
                    raise ConfigError(
                        f"contract {contract} reads {(trace.completion or '')[-80:]!r} as {read}; it has to read a judgement of {asked.dialect}"
                        " with a last line <confidence>0.8</confidence>"
                    )
                traces.write(trace)
                stated[f"{read.confidence:.1f}"] += 1
    if not stated:
        raise DataError(f"of {len(records):,} pairs none was judged readably; there is nothing to learn from")
    return dict(sorted(stated.items()))


def copy_weights(model: Path, start: Path) -> None:
    """The judge as a model to begin with: what it is asked is what the cold start teaches."""
    if not model.is_dir():
        raise ConfigError(f"--model is {model}; allowed: the folder of a judge, or embedded:judge")
    shutil.copytree(model, start, ignore=shutil.ignore_patterns(*OF_ITS_OWN), dirs_exist_ok=True)


def measured_rows(found: Iterable[JudgedPair], *, seed: int) -> Iterator[str]:
    """Accuracy (what can't be read is wrong) and the error of the stated confidence that the verdict is right, by task and for all."""
    by_task: dict[str, list[JudgedPair]] = defaultdict(list)
    for pair in found:
        by_task[str(pair.task)].append(pair)
    for name, own in {**by_task, "all": [pair for some in by_task.values() for pair in some]}.items():
        right = sum(pair.correct is True for pair in own)
        low, high = wilson_interval(right, len(own))
        stated = [(pair.confidence, pair.correct is True) for pair in own if pair.confidence is not None]
        numbers = "- | - | -"
        if stated:
            confidences, outcomes = [q for q, _ in stated], [outcome for _, outcome in stated]
            ece = calibration(confidences, outcomes, num_bins=NUM_BINS).ece
            numbers = f"{mean(confidences):.3f} | {ece:.3f} | {error_of_chance(confidences, num_bins=NUM_BINS, seed=seed):.3f}"
        yield (
            f"| {name} | {len(own):,} | {right / len(own):.1%} ({low:.1%}-{high:.1%}) | {len(stated) / len(own):.1%} | {numbers} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    does = parser.add_mutually_exclusive_group(required=True)
    does.add_argument("--model", help="a judge's folder, or embedded:judge: write the traces that it learns from")
    does.add_argument("--measure", type=Path, metavar="FOLDER", help="a judge that states its confidence: measure it")
    parser.add_argument("--pairs", type=int, help="of each task: 300 of the pool, or 100 of test to measure on")
    parser.add_argument("--votes", type=int, default=4, help="in each order of a pair of the pool")
    parser.add_argument("--seed", type=int, default=0, help="of the pairs and votes: that of the run")
    parser.add_argument("--output", type=Path, help="where traces, pool and start are written")
    parser.add_argument("--contract", default=CONTRACT, help="import path of the contract that states a confidence")
    options = parser.parse_args(arguments)
    contract = load_contract(options.contract)
    if options.measure:
        scorer = Scorer.from_pretrained(options.measure, dialect=contract)
        asked = Asked(dialect=contract, orders="given", sampling=scorer.sampling)
        records = sprites(Split.TEST, options.pairs or 100, seed=options.seed)
        print("| task | pairs | right | states one | mean confidence | ECE | ECE of chance |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        print("\n".join(measured_rows(judge(records, engine=scorer.engine, asked=asked), seed=options.seed)))
        return
    if options.output is None:
        parser.error("--model needs --output, a folder for traces, pool and start")
    model = JUDGE if options.model == "embedded:judge" else Path(options.model)
    copy_weights(model, options.output / "start")
    scorer = Scorer.from_pretrained(model)
    sampling = SamplingParams(temperature=TEMPERATURE, max_tokens=scorer.sampling.max_tokens)
    stated = write_traces(
        sprites(Split.POOL, options.pairs or 300, seed=options.seed),
        engine=scorer.engine,
        asked=Asked(
            dialect=scorer.dialect, votes=options.votes, sampling=sampling, seed=options.seed, purpose="confidence"
        ),
        contract=contract,
        output=options.output,
        seed=options.seed,
    )
    print(f"{sum(stated.values()):,} traces in {options.output / 'traces'}; confidence: how many")
    print(", ".join(f"{confidence}: {number:,}" for confidence, number in stated.items()))


if __name__ == "__main__":
    main()
