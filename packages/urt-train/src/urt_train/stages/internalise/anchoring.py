"""Behind calibration: a few candidates of known strength, which travel with the judge so that single candidates have a scale.

held-out pairs --their candidates, each under its own prompt beside each other one--> strengths --spread out--> anchors --> judge.json, files
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from urt_core import JudgeSpec, Scorer, Task
from urt_core.engines import AsyncEngine, Engine, Status
from urt_core.engines.model.folder import write_sums
from urt_core.errors import ConfigError, MediaError
from urt_core.instant.anchors import MIN_SPREAD, Anchor, AnchorSet, file_names, spread_out
from urt_core.media import MediaPolicy, load_frames
from urt_core.ranking import bradley_terry
from urt_core.records import Candidate, Media, PreferenceRecord
from urt_data.record_selection import select_tasks
from urt_train.stages.internalise.config import InternaliseConfig
from urt_train.stages.spec import Conclusion

POOL = 2
"""Candidates that are measured for each anchor that is picked."""
PRIOR = 0.01
"""Wins and losses of each against one of strength 0: enough to end the fit, since probabilities are never quite 0 or 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entrant:
    """A candidate with the prompt that it was made for: Entrant(text="a red cube", candidate=Media(...), media=None)"""

    text: str
    candidate: Candidate
    media: Media | None


def pick_anchors(conclusion: Conclusion, engine: Engine | AsyncEngine) -> None:
    """Pick them for each calibrated task from pairs of `calibrate_on`, and write them into the judge's folder, whose hashes follow. A task
    whose candidates are of one quality, or too few of which can travel with a judge, gets none, and a line says so."""
    settings: InternaliseConfig = conclusion.settings
    assert settings.calibrate_on is not None
    spec = JudgeSpec.load(conclusion.model)
    assert spec.calibration is not None
    scorer = Scorer(engine=engine, mode="instant", instant_calibration=spec.calibration)
    pairs = select_tasks(
        conclusion.open_shards(settings.calibrate_on), tasks=settings.tasks, per_task=settings.num_anchors * POOL // 2
    )
    entrants: dict[Task, list[Entrant]] = {}
    for record in pairs:
        # What is an edit of a source is no candidate of another prompt.
        if not record.is_edit and str(record.task) in spec.calibration.tasks:
            entrants.setdefault(record.task, []).extend(entrants_of(record))
    picked: dict[str, tuple[Anchor, ...]] = {}
    for task, pool in entrants.items():
        found = [one for one in pool if can_stand(one.candidate, task, spec.policy)]
        strengths = foreign_strengths(scorer, task, found)
        spread = max(strengths, default=0.0) - min(strengths, default=0.0)
        if len(found) < settings.num_anchors or spread < MIN_SPREAD:
            why = f"{len(found)} candidates, whose strengths differ by {spread:.2g}"
            conclusion.console.print(f"no anchors of {task}: {why}", highlight=False, soft_wrap=True)
            continue
        places = spread_out(strengths, settings.num_anchors)
        anchors = [Anchor(candidate=found[place].candidate, strength=round(strengths[place], 4)) for place in places]
        picked[str(task)] = tuple(
            replace(
                anchor, candidate=written(anchor.candidate, task, number, folder=conclusion.model, policy=spec.policy)
            )
            for number, anchor in enumerate(anchors)
        )
    if not picked:
        return
    replace(spec, anchors=AnchorSet(tasks=picked)).save(conclusion.model)
    write_sums(conclusion.model)
    told = ", ".join(f"{task} {len(anchors)}" for task, anchors in sorted(picked.items()))
    conclusion.console.print(f"anchors of {settings.calibrate_on}: {told}", highlight=False, soft_wrap=True)


def entrants_of(record: PreferenceRecord) -> list[Entrant]:
    return [Entrant(text=record.text, candidate=one, media=record.media) for one in (record.first, record.second)]


def can_stand(candidate: Candidate, task: Task, policy: MediaPolicy) -> bool:
    """Whether it can be read and a judge's folder may hold it."""
    try:
        if isinstance(candidate, Media):
            candidate = Media(kind=candidate.kind, files=file_names(task, 0, len(load_frames(candidate, policy))))
        Anchor(candidate=candidate, strength=0.0).check(task)
    except (MediaError, ConfigError):
        return False
    return True


def foreign_strengths(scorer: Scorer, task: Task, entrants: Sequence[Entrant]) -> list[float]:
    """How strong each candidate is under the prompts of the others, in log-odds with mean 0.

    Under its own prompt each meets every other one: the probability that it wins is sigmoid(own strength - foreign strength), which is the
    model of Rasch (1960). It is fitted as one of Bradley and Terry between the entrants in their two parts, at home and abroad.
    """
    n = len(entrants)
    wins = [[0.0] * (2 * n) for _ in range(2 * n)]
    for comparison in scorer.compare_batch(matches(task, entrants)):
        home, abroad = (int(place) for place in comparison.key.split("-")[1:])
        if comparison.status is Status.OK and comparison.probability_first is not None:
            wins[home][n + abroad] = comparison.probability_first
            wins[n + abroad][home] = 1 - comparison.probability_first
    abroad = bradley_terry(wins, prior=PRIOR)[n:]
    return [strength - sum(abroad) / n for strength in abroad]


def matches(task: Task, entrants: Sequence[Entrant]) -> Iterator[PreferenceRecord]:
    for home, own in enumerate(entrants):
        for abroad, other in enumerate(entrants):
            if home != abroad and own.text != other.text:
                yield PreferenceRecord(
                    key=f"match-{home}-{abroad}",
                    task=task,
                    text=own.text,
                    first=own.candidate,
                    second=other.candidate,
                    media=own.media,
                )


def written(candidate: Candidate, task: Task, number: int, *, folder: Path, policy: MediaPolicy) -> Candidate:
    """The candidate as it stands in judge.json; of a picture or clip what the judge sees is written beside it, as PNG."""
    if not isinstance(candidate, Media):
        return candidate
    frames = load_frames(candidate, policy)
    names = file_names(task, number, len(frames))
    for name, frame in zip(names, frames, strict=True):
        buffer = io.BytesIO()
        frame.save(buffer, "PNG")
        (folder / name).write_bytes(buffer.getvalue())
    return Media(kind=candidate.kind, files=names)
