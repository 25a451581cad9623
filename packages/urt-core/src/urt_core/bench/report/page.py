"""The output folder of a recipe in, one HTML file out: what was learnt, how surely, at what cost, with pairs to look at.

The page loads nothing and runs no script: pictures are data URIs, charts are inline SVG, the gallery's filters are CSS.
Judgements, captions and causes are foreign text; the templates escape all of it, and the content security policy would
stop what slipped through.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from urt_core import Dialect, Task
from urt_core.atomic import write_whole
from urt_core.bench.evaluation import EvaluationResult
from urt_core.bench.phases import read_costs
from urt_core.bench.report.charts import Chart, stage_chart
from urt_core.bench.report.curves import StageCurves, stage_curves
from urt_core.bench.report.gallery import Card, cards, choose_pairs
from urt_core.bench.report.summary import JudgedData, cost_rows, facts, figures, headline, lead
from urt_core.bench.report.timeline import StageTimeline, stage_timeline
from urt_core.bench.suites import SuiteReport
from urt_core.bench.suites.tables import suite_tables
from urt_core.bench.tables import dialect_label, evaluation_tables, stage_tables, task_title
from urt_core.errors import DataError
from urt_core.judging.pairs import JudgedPair

PAIRS_PER_TASK = 12
OUTCOMES = {
    "all": "all",
    "right": "right",
    "learned": "right, but not at an earlier stage",
    "wrong": "wrong",
    "unreadable": "unreadable",
}


def write_report(
    folder: Path,
    *,
    recipe: str,
    stages: Mapping[str, str],
    split: str = "test",
    data: JudgedData | None = None,
    beside: Mapping[str, EvaluationResult] | None = None,
) -> Path:
    """`folder`/report.html from the evaluations, metrics and costs in `folder`; pairs are shown where `data` is given.

    `stages` are folder and label of each judge, in the order of training: {"base": "Base", "cold_start": "Cold start"}.
    `beside`: judges of other recipes, measured on the same pairs, that the tables show too.
    """
    page = render_report(
        folder,
        recipe=recipe,
        stages=stages,
        split=split,
        data=data,
        beside=beside or {},
    )
    path = folder / "report.html"
    write_whole(path, page)
    return path


def read_evaluations(folder: Path, *, stages: Mapping[str, str], split: str) -> dict[str, EvaluationResult]:
    """Label -> its evaluation on `split`, in the order of `stages`. Other checkpoints judged there are not of this recipe."""
    places = {label: folder / "evaluation" / stage / split for stage, label in stages.items()}
    found = {
        stage: EvaluationResult.load(place) for stage, place in places.items() if (place / "result.json").is_file()
    }
    if not found:
        raise DataError(
            f"{folder} holds no evaluation on {split!r}; run `urt-train pipeline`, or `urt-train evaluate`, first"
        )
    judged_on = {stage: result.data.get("manifest") for stage, result in found.items()}
    if len(set(judged_on.values())) > 1:
        raise DataError(
            f"the stages in {folder / 'evaluation'} were judged on different pairs (manifests {judged_on}); run `urt-train pipeline` "
            "to judge them on the same"
        )
    return found


def read_beside(places: Mapping[str, Path], *, like: Mapping[str, EvaluationResult]) -> dict[str, EvaluationResult]:
    """Label -> the evaluation that lies in its folder, of those that were made on the pairs of `like`."""
    pairs = {result.data.get("manifest") for result in like.values()}
    found = {
        label: EvaluationResult.load(place) for label, place in places.items() if (place / "result.json").is_file()
    }
    return {label: result for label, result in found.items() if {result.data.get("manifest")} == pairs}


def render_report(
    folder: Path,
    *,
    recipe: str,
    stages: Mapping[str, str],
    split: str,
    data: JudgedData | None,
    beside: Mapping[str, EvaluationResult],
) -> str:
    evaluations = read_evaluations(folder, stages=stages, split=split)
    last = list(evaluations.values())[-1]
    reasoning = next((dialect for dialect in last.dialects if dialect is not Dialect.DIRECT), Dialect.DIRECT)
    costs = read_costs(folder / "costs.json")
    shown = _gallery(evaluations, reasoning=reasoning, data=data, per_task=PAIRS_PER_TASK)
    accuracy, behaviour = stage_tables({**evaluations, **beside})
    environment = Environment(
        loader=PackageLoader("urt_core.bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (Path(__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        recipe=recipe,
        style=Markup(style),
        policy=content_security_policy(style),
        headline=headline(last, reasoning),
        lead=lead(evaluations, reasoning),
        figures=figures(last, reasoning, costs, _of_other_splits(folder, stages, split, last=list(evaluations)[-1])),
        series=[dialect_label(dialect) for dialect in last.dialects],
        stage_charts=_stage_charts(evaluations),
        tables=accuracy,
        folded=[
            {"title": "How the judgements behave: readable, consistent, coherent", "tables": behaviour},
            *_other_splits(folder, stages, split),
            *({"title": f"{label}, in full", "tables": evaluation_tables(evaluations[label])} for label in evaluations),
        ],
        suites=_suites(folder, stages),
        curves=_curves(folder, stages),
        timelines=_timelines(folder, stages),
        costs=cost_rows(costs),
        cards=shown,
        task_filters=[{"id": "all", "label": "all"}]
        + [{"id": str(task), "label": task_title(task)} for task in Task if any(card.task is task for card in shown)],
        outcome_filters=[{"id": name, "label": label} for name, label in OUTCOMES.items()],
        empty_places=_empty_places(shown),
        facts=facts(folder, last, data),
    )


def content_security_policy(style: str) -> str:
    """Nothing but this very style sheet and pictures inside the page: no script, no network, no form, no base."""
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def _stage_charts(evaluations: Mapping[str, EvaluationResult]) -> list[Chart]:
    """One chart per task, all tasks first; per way of answering the accuracy after each stage."""
    dialects = list(evaluations.values())[-1].dialects
    tasks = [task for task in Task if any(row.task is task for result in evaluations.values() for row in result.rows)]
    return [
        stage_chart(
            task_title(task),
            list(evaluations),
            {
                dialect_label(dialect): [_share(result, dialect, task) for result in evaluations.values()]
                for dialect in dialects
            },
            # The sum of all tasks is as tall as two charts: the others stand beside it in two rows.
            height=164 if task else 410,
        )
        for task in [None, *tasks]
    ]


def _share(result: EvaluationResult, dialect: Dialect, task: Task | None) -> tuple[float, float, float] | None:
    for row in result.rows:
        if (
            row.dialect is dialect
            and row.task is task
            and row.accuracy.value is not None
            and row.accuracy.interval is not None
        ):
            return row.accuracy.value, *row.accuracy.interval
    return None


def _other_splits(folder: Path, stages: Mapping[str, str], split: str) -> list[dict[str, Any]]:
    others = sorted(
        {path.parent.name for stage in stages for path in (folder / "evaluation" / stage).glob("*/result.json")}
        - {split}
    )
    return [
        {
            "title": f"On the split {other}",
            "tables": stage_tables(read_evaluations(folder, stages=stages, split=other)).accuracy,
        }
        for other in others
    ]


def _of_other_splits(folder: Path, stages: Mapping[str, str], split: str, *, last: str) -> dict[str, EvaluationResult]:
    """What the last judge did on splits that it was judged on beside `split`."""
    [stage] = [name for name, label in stages.items() if label == last]
    places = sorted((folder / "evaluation" / stage).glob("*/result.json"))
    return {path.parent.name: EvaluationResult.load(path.parent) for path in places if path.parent.name != split}


def _suites(folder: Path, stages: Mapping[str, str]) -> dict[str, Any] | None:
    """Of the last judge that has been tried by them."""
    for stage, label in reversed(list(stages.items())):
        path = folder / "evaluation" / stage / "suites.json"
        if path.is_file():
            report = SuiteReport.load(path)
            shown = [(finding, example) for finding in report.findings for example in finding.examples[:1]]
            return {"label": label, "tables": suite_tables(report), "examples": shown}
    return None


def _timelines(folder: Path, stages: Mapping[str, str]) -> list[StageTimeline]:
    paths = {label: folder / stage / "timeline.jsonl" for stage, label in stages.items()}
    drawn = [stage_timeline(label, path) for label, path in paths.items() if path.is_file()]
    return [timeline for timeline in drawn if timeline is not None]


def _curves(folder: Path, stages: Mapping[str, str]) -> list[StageCurves]:
    paths = {label: folder / stage / "metrics.csv" for stage, label in stages.items()}
    drawn = [stage_curves(label, path) for label, path in paths.items() if path.is_file()]
    return [curves for curves in drawn if curves.charts]


def _gallery(
    evaluations: Mapping[str, EvaluationResult], *, reasoning: Dialect, data: JudgedData | None, per_task: int
) -> list[Card]:
    if data is None:
        return []
    stages: dict[str, Sequence[JudgedPair]] = {label: result.judged for label, result in evaluations.items()}
    last = [pair for pair in list(stages.values())[-1] if pair.dialect is reasoning]
    chosen = choose_pairs(last, per_task=per_task)
    return cards(chosen, records=data.find({pair.key for pair in chosen}), stages=stages)


def _empty_places(shown: Sequence[Card]) -> list[dict[str, str]]:
    """Filter settings under which no card is left, so that the page can say so."""
    return [
        {"task": task, "outcome": outcome}
        for task in ["all", *map(str, Task)]
        for outcome in OUTCOMES
        if not any(
            task in ("all", card.task) and (outcome in ("all", card.outcome) or (outcome == "learned" and card.learned))
            for card in shown
        )
    ]
