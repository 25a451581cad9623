"""What an answer at once is worth beside reasoning, on sprites that nobody has seen: right, the same in both orders, calibrated, and what
`auto` makes of it at any bounds.

python apps/bench_instant.py --model outputs/tiny_instant/internalise/model
python apps/bench_instant.py --model embedded:judge --pairs 100 --reasoned 25 --seed 1
python apps/bench_instant.py --model outputs/tiny_instant/internalise/model --calibrated-on 50,200,1000

`--pairs` of each task are judged at once and the first `--reasoned` of them with reasoning, too. A judge whose probabilities are right has
no calibration error of 0 on a finite number of pairs: "of chance" is what would be left of it on these ones. `--calibrated-on` fits the
maps anew on as many validation pairs of each task, and says what that makes of the error on the same answers.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

from urt_core import Comparison, Preference, PreferenceRecord, Scorer, Task
from urt_core.example import JUDGE
from urt_core.instant.calibration import CalibrationKind, InstantCalibration
from urt_core.instant.modes import Bounds, Mode, is_sure
from urt_core.metrics.calibration import calibration, error_of_chance
from urt_core.metrics.intervals import paired_bootstrap, wilson_interval
from urt_data.sprites.pairs import pairs
from urt_data.sprites.world import Split

NUM_BINS = 10
"""Of the probability of the candidate that is named, over 0 to 1: five of them can hold anything."""
BOUNDS = (Bounds(low=0.05, high=0.95), Bounds(), Bounds(low=0.15, high=0.85), Bounds(low=0.2, high=0.8))
Judged = list[tuple[PreferenceRecord, Comparison]]


def judged(scorer: Scorer, records: Sequence[PreferenceRecord], *, mode: Mode) -> tuple[Judged, float]:
    """Each pair with what was said of it, and judgements a second; a pair is two of them."""
    start = time.perf_counter()
    by_key = {comparison.key: comparison for comparison in scorer.compare_batch(records, mode=mode)}
    rate = 2 * len(records) / (time.perf_counter() - start)
    return [(record, by_key[record.key]) for record in records], rate


def is_right(pair: tuple[PreferenceRecord, Comparison]) -> bool:
    record, comparison = pair
    return comparison.preference is record.preference


def named(found: Judged) -> tuple[list[float], list[bool]]:
    """Probability of the candidate that is named, and whether it is the better one, where a probability was read."""
    read = [
        (max(p, 1 - p), (p > 0.5) == (record.preference is Preference.FIRST))
        for record, comparison in found
        if (p := comparison.probability_first) is not None
    ]
    return [p for p, _ in read], [right for _, right in read]


def instant_rows(split: Split, found: Judged, *, seed: int) -> Iterator[str]:
    by_task: dict[str, Judged] = {}
    for pair in found:
        by_task.setdefault(str(pair[0].task), []).append(pair)
    for name, own in {**by_task, "all": found}.items():
        right = sum(map(is_right, own))
        low, high = wilson_interval(right, len(own))
        steady = mean(bool(comparison.position_consistent) for _, comparison in own)
        probabilities, outcomes = named(own)
        if probabilities:
            ece = calibration(probabilities, outcomes, num_bins=NUM_BINS).ece
            error = f"{ece:.3f} | {error_of_chance(probabilities, num_bins=NUM_BINS, seed=seed):.3f}"
        else:
            error = "- | -"
        calibrated = mean(comparison.calibrated for _, comparison in own)
        yield (
            f"| {split} | {name} | {len(own):,} | {right / len(own):.1%} ({low:.1%}-{high:.1%}) | {steady:.1%} | {error} |"
            f" {calibrated:.0%} |"
        )


def calibration_rows(raw: Mapping[Split, Judged], held_out: Judged, sizes: Sequence[int]) -> Iterator[str]:
    """Calibration error on each split, by the number of pairs of each task that the maps are fitted on; `raw` is not calibrated."""
    by_task: dict[Task, list[tuple[Task, float, bool]]] = {}
    for record, comparison in held_out:
        if comparison.probability_first is not None:
            row = (record.task, comparison.probability_first, record.preference is Preference.FIRST)
            by_task.setdefault(record.task, []).append(row)
    for size in (0, *sizes):
        rows = [row for own in by_task.values() for row in own[:size]]
        maps = InstantCalibration.fit(rows, kind=CalibrationKind.PLATT) if rows else None
        errors = []
        for found in raw.values():
            probabilities, outcomes = named(
                [(record, calibrated(comparison, maps) if maps else comparison) for record, comparison in found]
            )
            errors.append(
                f"{calibration(probabilities, outcomes, num_bins=NUM_BINS).ece:.3f}" if probabilities else "-"
            )
        yield f"| {size or 'none'} | {' | '.join(errors)} |"


def calibrated(comparison: Comparison, maps: InstantCalibration) -> Comparison:
    if comparison.probability_first is None or comparison.task is None:
        return comparison
    return replace(comparison, probability_first=maps.of(comparison.task)(comparison.probability_first))


def auto_rows(instant: Judged, reasoned: Judged) -> Iterator[str]:
    """`auto` asks each pair as one of the two did, so that any bounds can be read from both."""
    everywhere = [is_right(pair) for pair in reasoned]
    spent = sum(comparison.usage.completion_tokens for _, comparison in reasoned)
    yield f"| reasoning everywhere | 0 % | - | {mean(everywhere):.1%} | | {spent:,} |"
    for bounds in BOUNDS:
        sure = [is_sure(comparison, bounds) for _, comparison in instant]
        rights = [
            is_right(at_once if is_at_once else slow)
            for at_once, slow, is_at_once in zip(instant, reasoned, sure, strict=True)
        ]
        of_sure = [right for right, is_at_once in zip(rights, sure, strict=True) if is_at_once]
        apart = paired_bootstrap(rights, everywhere)
        tokens = sum(comparison.usage.completion_tokens for _, comparison in instant)
        tokens += sum(
            comparison.usage.completion_tokens
            for (_, comparison), is_at_once in zip(reasoned, sure, strict=True)
            if not is_at_once
        )
        yield (
            f"| auto, bounds {bounds.low:g} and {bounds.high:g} | {mean(sure):.0%} |"
            f" {f'{mean(of_sure):.1%}' if of_sure else '-'} | {mean(rights):.1%} |"
            f" {100 * apart.difference:+.1f} ({100 * apart.low:+.1f} to {100 * apart.high:+.1f}) | {tokens:,} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a judge's folder, or embedded:judge")
    parser.add_argument("--pairs", type=int, default=1000, help="of each task and split, judged at once")
    parser.add_argument("--reasoned", type=int, default=100, help="of each task of test, judged with reasoning, too")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the pairs: that of the run, whose splits they belong to"
    )
    parser.add_argument("--calibrated-on", default="", help="numbers of validation pairs of each task, such as 50,200")
    options = parser.parse_args(arguments)
    model = JUDGE if options.model == "embedded:judge" else Path(options.model)
    scorer = Scorer.from_pretrained(model)
    print("| split | task | pairs | right at once | same in both orders | ECE | ECE of chance | calibrated |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    instant: dict[Split, Judged] = {}
    for split in (Split.TEST, Split.TEST_UNSEEN):
        records = [record for task in Task for record in pairs(task, options.pairs, split=split, seed=options.seed)]
        found, instant_rate = judged(scorer, records, mode=Mode.INSTANT)
        print("\n".join(instant_rows(split, found, seed=options.seed)), flush=True)
        instant[split] = found
    at_once = instant[Split.TEST]
    first = [
        at_once[start + place] for start in range(0, len(at_once), options.pairs) for place in range(options.reasoned)
    ]
    reasoned, reason_rate = judged(scorer, [record for record, _ in first], mode=Mode.REASON)
    print("\n| asked | at once | of them right | right | beside reasoning, points | tokens |")
    print("| --- | --- | --- | --- | --- | --- |")
    print("\n".join(auto_rows(first, reasoned)))
    if options.calibrated_on:
        sizes = [int(size) for size in options.calibrated_on.split(",")]
        plain = Scorer(engine=scorer.engine, dialect=scorer.dialect, sampling=scorer.sampling)
        raw = {
            split: judged(plain, [record for record, _ in found], mode=Mode.INSTANT)[0]
            for split, found in instant.items()
        }
        held_out = [
            record for task in Task for record in pairs(task, max(sizes), split=Split.VALIDATION, seed=options.seed)
        ]
        print(f"\n| calibrated on | ECE, {' | ECE, '.join(raw)} |\n{'| --- ' * (1 + len(raw))}|")
        print("\n".join(calibration_rows(raw, judged(plain, held_out, mode=Mode.INSTANT)[0], sizes)))
    print(
        f"\n{instant_rate:.0f} instant judgements a second, {reason_rate:.1f} with reasoning: {instant_rate / reason_rate:.1f} times as many"
    )


if __name__ == "__main__":
    main()
