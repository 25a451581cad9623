"""Does a score against anchors mean the same for all prompts? Rank correlation (Spearman) with the number of flaws that a sprite has, over
captions that nobody has seen, for three ways to hold a candidate against an anchor that was made for another caption.

python apps/bench_anchors.py --model outputs/tiny_instant/internalise/model
python apps/bench_anchors.py --model embedded:judge --mode reason      # a judge that never learnt to answer at once

own: under the candidate's caption. anchor's: under the anchor's. both: the log-odds of the two added, at twice the passes.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from urt_core import PreferenceRecord, Scorer, Task
from urt_core.example import JUDGE
from urt_core.instant.anchored import held_against
from urt_core.instant.anchors import spread_out
from urt_core.instant.calibration import log_odds
from urt_core.records import Media
from urt_data.sprites.pairs import SEMANTIC_CAUSES, View, flaw_of, misread, pairs
from urt_data.sprites.world import Split, sample_scene, split_of
from urt_train.stages.internalise.anchoring import POOL, entrants_of, foreign_strengths

MOST_FLAWS = 3
"""One against the caption, one of the look (or the movement), one of the things themselves."""


class Sprite(NamedTuple):
    caption: str
    shown: Media
    num_flaws: int


def sprite(task: Task, number: int) -> Sprite:
    """A drawing of a test scene with 0 to 3 flaws of different kinds."""
    rng = random.Random(f"anchors/{task}/{number}")
    look = "temporal" if task.is_video else "aesthetic"
    flaws = rng.sample(["semantic", look, "authenticity"], number % (MOST_FLAWS + 1))
    while True:
        asked = sample_scene(rng, clip=task.is_video, split=Split.TEST)
        shown = misread(asked, rng.choice(SEMANTIC_CAUSES), rng) if "semantic" in flaws else asked
        if split_of(shown) is Split.TEST:
            break
    visible = frozenset(flaw_of(kind, rng) for kind in flaws if kind != "semantic")
    return Sprite(asked.caption, View(scene=shown, flaws=visible).draw("shown", rng), len(flaws))


def beaten(scorer: Scorer, records: Iterator[PreferenceRecord], shape: tuple[int, int]) -> np.ndarray:
    """[candidates, anchors] probability that the candidate wins; NaN where that could not be read."""
    found = np.full(shape, np.nan)
    for comparison in scorer.compare_batch(records):
        if comparison.probability_first is not None:
            candidate, anchor = (int(place) for place in comparison.key.split("-")[1:])
            found[candidate, anchor] = comparison.probability_first
    return found


def report(scorer: Scorer, task: Task, *, num_sprites: int, num_anchors: int) -> list[str]:
    sprites = [sprite(task, number) for number in range(num_sprites)]
    held_out = pairs(task, num_anchors * POOL // 2, split=Split.VALIDATION, seed=0)
    entrants = [entrant for record in held_out for entrant in entrants_of(record)]
    strengths = foreign_strengths(scorer, task, entrants)
    anchors = [(entrants[place], strengths[place]) for place in spread_out(strengths, num_anchors)]
    flaws = np.array([one.num_flaws for one in sprites])

    def records(*, of_anchor: bool) -> Iterator[PreferenceRecord]:
        for i, one in enumerate(sprites):
            for j, (anchor, _) in enumerate(anchors):
                text = anchor.text if of_anchor else one.caption
                yield PreferenceRecord(key=f"s-{i}-{j}", task=task, text=text, first=one.shown, second=anchor.candidate)

    shape = (num_sprites, num_anchors)
    own = beaten(scorer, records(of_anchor=False), shape)
    other = beaten(scorer, records(of_anchor=True), shape)
    both = np.vectorize(log_odds)(np.nan_to_num(own, nan=0.5)) + np.vectorize(log_odds)(np.nan_to_num(other, nan=0.5))
    known = [anchor_strength for _, anchor_strength in anchors]
    scored = [held_against(known, [None if np.isnan(p) else float(p) for p in row]) for row in own]
    width = np.mean([high - low for _, (low, high) in scored])
    lines = [
        line(task, "own", flaws, np.array([score for score, _ in scored]), passes=2),
        line(task, "anchor's", flaws, np.nanmean(other, 1), passes=2),
        line(task, "both", flaws, (0.5 + 0.5 * np.tanh(both / 4)).mean(1), passes=4),
    ]
    unread = f"not read {np.isnan(own).mean():.1%}"
    return [
        *lines,
        f"| {task} | strengths {min(known):+.2f} to {max(known):+.2f} | mean width of interval {width:.2f} | {unread} | |",
    ]


def line(task: Task, way: str, flaws: np.ndarray, scores: np.ndarray, *, passes: int) -> str:
    means = " / ".join(f"{scores[flaws == number].mean():.2f}" for number in range(MOST_FLAWS + 1))
    return f"| {task} | {way} | {spearmanr(-scores, flaws)[0]:.3f} | {means} | {passes} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a judge's folder, or embedded:judge")
    parser.add_argument("--mode", choices=("instant", "reason"), default="instant")
    parser.add_argument("--sprites", type=int, default=60, help="candidates of each task")
    parser.add_argument("--anchors", type=int, default=8)
    options = parser.parse_args(arguments)
    model = JUDGE if options.model == "embedded:judge" else Path(options.model)
    scorer = Scorer.from_pretrained(model, mode=options.mode)
    print(
        "| task | held against anchors under whose caption | Spearman with flaws | mean score at 0 / 1 / 2 / 3 flaws | passes an anchor |"
    )
    print("| --- | --- | --- | --- | --- |")
    for task in (Task.IMAGE_GENERATION, Task.VIDEO_GENERATION):
        print("\n".join(report(scorer, task, num_sprites=options.sprites, num_anchors=options.anchors)), flush=True)


if __name__ == "__main__":
    main()
