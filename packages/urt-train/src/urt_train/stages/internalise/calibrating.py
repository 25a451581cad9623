"""Behind training: what an instant probability of the new judge is worth, by labelled pairs that it has not learnt from.

pairs --judge at once, both orders--> probability of the first --labels--> a map for each task --> judge.json
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from urt_core import Dialect, JudgeSpec, Preference, SamplingParams, Task
from urt_core.comparison import Order
from urt_core.engines import AsyncEngine, Engine
from urt_core.engines.model.folder import write_sums
from urt_core.instant.calibration import CalibrationKind, InstantCalibration
from urt_core.instant.modes import instant_sampling
from urt_core.judging.judge import Asked, judge
from urt_core.judging.pairs import JudgedPair
from urt_data.record_selection import select_tasks
from urt_train.stages.internalise.config import InternaliseConfig
from urt_train.stages.spec import Conclusion


def calibrate(conclusion: Conclusion, engine: Engine | AsyncEngine) -> None:
    """Fit on all labelled pairs of `calibrate_on`, and write the maps into the judge.json of the folder, whose hashes follow."""
    settings: InternaliseConfig = conclusion.settings
    assert settings.calibrate_on is not None
    pairs = select_tasks(conclusion.open_shards(settings.calibrate_on), tasks=settings.tasks)
    asked = Asked(dialect=Dialect.DIRECT, orders="both", sampling=instant_sampling(SamplingParams()))
    rows = instant_rows(judge(pairs.grouped_by_task(), engine=engine, asked=asked))
    calibration = InstantCalibration.fit(rows, kind=CalibrationKind(settings.calibration.name))
    spec = JudgeSpec.load(conclusion.model)
    replace(spec, calibration=calibration).save(conclusion.model)
    write_sums(conclusion.model)  # judge.json is among the files whose hashes are checked
    fitted = ", ".join(f"{task} {found.num_pairs:,}" for task, found in calibration.tasks.items())
    conclusion.console.print(f"calibrated on {settings.calibrate_on}: {fitted} pairs", highlight=False, soft_wrap=True)


def instant_rows(judged: Iterable[JudgedPair]) -> list[tuple[Task, float, bool]]:
    """(task, probability of the record's first candidate as a mean over both orders, whether it is the better one), of the pairs that
    have a winner and were read in both orders."""
    found: dict[str, dict[Order, tuple[JudgedPair, float]]] = defaultdict(dict)
    for pair in judged:
        if pair.verdict in (Preference.FIRST, Preference.SECOND) and pair.verdict_probability is not None:
            named_first = (pair.verdict is Preference.FIRST) == (pair.order is Order.GIVEN)
            found[pair.key][pair.order] = (
                pair,
                pair.verdict_probability if named_first else 1 - pair.verdict_probability,
            )
    return [
        (
            by_order[Order.GIVEN][0].task,
            sum(probability for _, probability in by_order.values()) / 2,
            by_order[Order.GIVEN][0].label is Preference.FIRST,
        )
        for by_order in found.values()
        if len(by_order) == 2 and by_order[Order.GIVEN][0].label in (Preference.FIRST, Preference.SECOND)
    ]
