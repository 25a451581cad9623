"""What an evaluation counts, against counts made by hand and against urt_core.metrics."""

import io
import json
import math
from typing import Any

import pytest
from rich.console import Console

from urt_core import Completion, Dialect, Media, MediaKind, Preference, PreferenceRecord, SamplingParams, Task
from urt_core.bench.evaluation import EvaluationResult, evaluate
from urt_core.bench.rates import Rate
from urt_core.bench.tables import brief_table, evaluation_tables, markdown_page, print_tables, stage_tables
from urt_core.comparison import Order
from urt_core.engines import FinishReason
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import DataError
from urt_core.judging.pairs import read_judged_pairs

QUIET = Console(file=io.StringIO())


def pair(number: int, label: Preference | None = Preference.FIRST, *, cause: str = "count", task=Task.IMAGE_GENERATION):
    if task is Task.IMAGE_UNDERSTANDING:
        picture = Media(kind=MediaKind.IMAGE, files=("media.png",), data=(b"",))
        shown: dict[str, Any] = {"first": "Two.", "second": "Three.", "media": picture}
    else:
        picture = Media(kind=MediaKind.IMAGE, files=("first.png",), data=(b"",))
        shown = {"first": picture, "second": Media(kind=MediaKind.IMAGE, files=("second.png",), data=(b"",))}
    return PreferenceRecord(
        key=f"pair-{number}", task=task, text=f"scene {number}", preference=label, metadata={"cause": cause}, **shown
    )


def judgement(winner: int, *, noun: str = "Image", scores=((9, 8, 7), (5, 8, 7)), totals=None) -> str:
    first, second = scores
    totals = totals or (sum(first), sum(second))
    lines = [
        f"{n}. {name}: {noun} 1 ({a}/10) - seen; {noun} 2 ({b}/10) - seen"
        for n, (name, a, b) in enumerate(zip(("One", "Two", "Three"), first, second, strict=True), start=1)
    ]
    sums = [f"{noun} {n}: {'+'.join(map(str, row))}={t}" for n, row, t in zip((1, 2), scores, totals, strict=True)]
    body = "\n".join([*lines, "Total score:", *sums])
    return f"<think>\n{body}\n</think>\n<answer>{noun} {winner} is better</answer>"


def run(script, records, **options) -> EvaluationResult:
    return evaluate(ScriptedEngine(script=script), records, console=QUIET, **options)


def test_counts_by_hand():
    """Four pairs: right, wrong, unreadable, labelled tie."""
    labels = [Preference.FIRST, Preference.SECOND, Preference.FIRST, Preference.TIE]
    records = [pair(number, label) for number, label in enumerate(labels)]
    script = [judgement(1), judgement(1), "no idea", judgement(1)]
    row = run(script, records, dialects=[Dialect.V1], orders="given").row(Dialect.V1, Task.IMAGE_GENERATION)
    assert (row.n_total, row.n_scored, row.n_failed) == (3, 2, 1)
    assert row.accuracy == Rate(successes=1, n=3)
    assert row.parse_rate == Rate(successes=3, n=4)
    assert row.first_pick == Rate(successes=3, n=3)
    assert row.position_consistency == Rate(successes=0, n=0)


def test_swapped_order_is_judged_against_the_swapped_label():
    """A judge that always answers 'first' is right on every pair labelled first, in one order only, and never
    consistent."""
    result = run(lambda prompt, index: judgement(1), [pair(n) for n in range(5)], dialects=[Dialect.V1])
    row = result.row(Dialect.V1)
    assert row.accuracy == Rate(successes=5, n=5)
    assert row.accuracy_swapped == Rate(successes=0, n=5)
    assert row.position_consistency == Rate(successes=0, n=5)
    assert row.first_pick == Rate(successes=10, n=10)


def test_a_judge_that_sees_is_consistent():
    """It prefers the file called first.png wherever it is shown."""

    def sees(prompt, index):
        return judgement(1 + [media.files[0] for media in prompt.media].index("first.png"))

    row = run(sees, [pair(n) for n in range(4)], dialects=[Dialect.V1]).row(Dialect.V1)
    assert row.accuracy == row.accuracy_swapped == row.position_consistency == Rate(successes=4, n=4)
    assert row.first_pick == Rate(successes=4, n=8)


def test_sums_and_totals_are_checked_on_readable_judgements():
    script = [
        judgement(1),
        judgement(2),  # against its own totals
        judgement(1, totals=(25, 20)),  # 9+8+7 is not 25
        "<answer>Image 1 is better</answer>",  # states no totals
    ]
    row = run(script, [pair(n) for n in range(4)], dialects=[Dialect.V1], orders="given").row(Dialect.V1)
    assert row.consistent_sums == Rate(successes=2, n=3)
    assert row.verdict_follows_totals == Rate(successes=2, n=3)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [(FinishReason.LENGTH, "truncated"), (FinishReason.REFUSED, "refused"), (FinishReason.HTTP_ERROR, "http_error")],
)
def test_a_completion_that_did_not_end_is_unreadable_even_with_a_verdict_in_it(reason, kind):
    cut = Completion(text=judgement(1), finish_reason=reason)
    result = run([cut], [pair(0)], dialects=[Dialect.V1], orders="given")
    assert result.judged[0].failure == kind
    assert result.judged[0].correct is False
    assert result.row(Dialect.V1).accuracy == Rate(successes=0, n=1)


def test_direct_answers_have_their_own_rows_and_length_limit():
    limits = {}

    class Watching(ScriptedEngine):
        def generate(self, prompts, sampling):
            limits[prompts[0].dialect] = sampling.max_tokens
            return super().generate(prompts, sampling)

    def answer(prompt, index):
        return "Image 2 is better." if prompt.dialect is Dialect.DIRECT else judgement(1)

    engine = Watching(script=answer)
    sampling = SamplingParams(max_tokens=333)
    result = evaluate(engine, [pair(0)], sampling=sampling, direct_max_tokens=9, orders="given", console=QUIET)
    assert limits == {Dialect.V1: 333, Dialect.DIRECT: 9}
    assert result.row(Dialect.V1).accuracy.value == 1.0
    assert result.row(Dialect.DIRECT).accuracy.value == 0.0


def test_tasks_causes_and_all_together():
    records = [
        pair(0, cause="count"),
        pair(1, Preference.SECOND, cause="blur"),
        pair(2, cause="answer", task=Task.IMAGE_UNDERSTANDING),
    ]
    script = {"pair-0": judgement(1), "pair-1": judgement(1), "pair-2": judgement(1, noun="Answer")}
    result = run(script, records, dialects=[Dialect.V1], orders="given")
    assert [row.task for row in result.rows] == [Task.IMAGE_GENERATION, Task.IMAGE_UNDERSTANDING, None]
    assert [row.accuracy.value for row in result.rows] == [0.5, 1.0, pytest.approx(2 / 3)]
    causes = {(row.task, row.cause): row.accuracy.value for row in result.cause_rows}
    assert causes == {
        (Task.IMAGE_GENERATION, "blur"): 0.0,
        (Task.IMAGE_GENERATION, "count"): 1.0,
        (Task.IMAGE_UNDERSTANDING, "answer"): 1.0,
    }


def test_batches_do_not_change_the_result():
    records = [pair(n, Preference.FIRST if n % 3 else Preference.SECOND) for n in range(10)]
    script = {record.key: judgement(1 + n % 2) for n, record in enumerate(records)}
    results = [run(script, records, dialects=[Dialect.V1], batch_size=size) for size in (1, 3, 64)]
    assert results[0].judged == results[1].judged == results[2].judged


def test_wilson_interval_of_a_known_share():
    """88 of 100: the textbook value of the Wilson score interval at 95 %."""
    assert Rate(successes=88, n=100).interval == pytest.approx((0.8019, 0.9300), abs=1e-4)
    assert Rate(successes=0, n=0).value is None


def test_an_unlabelled_record_is_an_error_that_names_it():
    with pytest.raises(DataError, match=r"pair-7.*no preference"):
        run([judgement(1)], [pair(7, None)], dialects=[Dialect.V1])


def test_nothing_to_evaluate_is_an_error():
    with pytest.raises(DataError, match="empty"):
        run([], [])


def test_saved_and_loaded_again_is_the_same(tmp_path):
    script = [judgement(1), "<think>\ufffd(odd)\u2028 line", judgement(2), judgement(1)]
    result = run(script, [pair(0), pair(1)], dialects=[Dialect.V1])
    result.save(tmp_path)
    assert EvaluationResult.load(tmp_path) == result
    lines = (tmp_path / "judgements.jsonl").read_text(encoding="utf-8").split("\n")
    first = json.loads(lines[0])
    assert len(lines) == 5
    assert first["order"] == "given"
    assert first["scores"]["one"] == [9.0, 5.0]
    assert first["totals"] == [24.0, 20.0]
    assert not list(tmp_path.glob("*.partial"))


def test_an_interrupted_save_is_not_taken_for_a_result(tmp_path, monkeypatch):
    result = run([judgement(1)], [pair(0)], dialects=[Dialect.V1], orders="given")
    result.save(tmp_path)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("urt_core.atomic.os.replace", full_disk)
    with pytest.raises(DataError, match=r"judgements\.jsonl can't be written \(No space left on device\)"):
        result.save(tmp_path)
    with pytest.raises(DataError, match=r"result\.json is missing"):
        EvaluationResult.load(tmp_path)
    assert not list(tmp_path.glob("*.partial"))


def test_tables_name_what_was_measured_and_hold_hostile_causes():
    hostile = "[bold]x[/bold] | <script>alert(1)</script>\n| y"
    records = [pair(0, cause=hostile), pair(1)]
    result = run([judgement(1), "what?"], records, dialects=[Dialect.V1], orders="given")
    page = markdown_page("Evaluation", evaluation_tables(result), introduction="Two pairs.")
    assert "| All tasks | 2 | 50.0 % (9.5–90.5) | – |" in page
    assert "| Image generation | v1 | no_answer | 1 |" in page
    assert "<script>" not in page
    assert "[bold]x[/bold] \\| &lt;script>alert(1)&lt;/script> \\| y" in page
    screen = Console(file=io.StringIO(), width=200)
    for table in evaluation_tables(result):
        screen.print(table.console())
    assert "[bold]x[/bold]" in screen.file.getvalue()  # type: ignore[attr-defined]


def test_stage_table_has_a_column_per_stage_and_a_dash_where_nothing_was_measured():
    both = run(
        lambda prompt, index: "Image 1 is better." if prompt.dialect is Dialect.DIRECT else judgement(1),
        [pair(n) for n in range(4)],
        orders="given",
    )
    one = run(lambda prompt, index: judgement(2), [pair(n) for n in range(4)], dialects=[Dialect.V1], orders="given")
    with_reasoning, direct = stage_tables({"Base": one, "GRPO": both}).accuracy
    assert with_reasoning.columns == ("after stage", "Base", "GRPO")
    assert [row[0] for row in with_reasoning.rows] == ["Image generation", "All tasks"]
    assert with_reasoning.rows[-1][1].startswith("0.0 % (0.0–")
    assert with_reasoning.rows[-1][2].startswith("100.0 % (")
    assert direct.rows[-1][1] == "–"


def test_every_table_fits_a_terminal_of_80_columns():
    """No cell is cut: rich would mark that with an ellipsis."""
    result = run(lambda prompt, index: judgement(1), [pair(n, cause="a long cause, in words") for n in range(100)])
    names: list[str] = ["base", "cold_start", "rejection_sampling", "grpo"]
    stages = dict.fromkeys(names, result)
    screen = Console(file=io.StringIO(), width=80)
    print_tables(
        [
            *evaluation_tables(result),
            *stage_tables(stages).accuracy,
            *stage_tables(stages).behaviour,
            brief_table("Right", result),
        ],
        console=screen,
    )
    assert "…" not in screen.file.getvalue()  # type: ignore[attr-defined]


def test_rates_agree_with_the_metrics_of_the_scorer():
    from urt_core.metrics import pairwise_accuracy, position_consistency

    records = [pair(n, Preference.FIRST if n % 3 else Preference.SECOND) for n in range(30)]
    texts = [judgement(1), judgement(2), "?", judgement(1), judgement(1)]
    counter = iter(range(10_000))
    result = run(lambda prompt, index: texts[(next(counter) * 7) % 5], records, dialects=[Dialect.V1])
    given, swapped = ([p for p in result.judged if p.order is order] for order in Order)
    row = result.row(Dialect.V1)
    accuracy = pairwise_accuracy([p.verdict for p in given], [p.label or Preference.TIE for p in given])
    consistency = position_consistency([p.verdict for p in given], [p.verdict for p in swapped])
    assert row.accuracy.value == pytest.approx(accuracy.accuracy, abs=0)
    assert (row.n_total, row.n_scored, row.n_failed) == (accuracy.n_total, accuracy.n_scored, accuracy.n_failed)
    assert math.isclose(row.position_consistency.value or 0, consistency.consistency)


def test_judged_pairs_file_is_read_back(tmp_path):
    result = run([judgement(1)], [pair(0)], dialects=[Dialect.V1], orders="given")
    result.save(tmp_path)
    assert read_judged_pairs(tmp_path / "judgements.jsonl") == list(result.judged)
