"""What an evaluation counts, against counts made by hand and against urt_core.metrics."""

import json

import pytest

from tests.urt_core.bench.judged import QUIET, judgement, pair, run
from urt_core import Completion, Dialect, Preference, SamplingParams
from urt_core.bench.evaluation import EvaluationResult, evaluate
from urt_core.bench.rates import Rate
from urt_core.engines import FinishReason
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import DataError


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


def test_batches_do_not_change_the_result():
    records = [pair(n, Preference.FIRST if n % 3 else Preference.SECOND) for n in range(10)]
    script = {record.key: judgement(1 + n % 2) for n, record in enumerate(records)}
    results = [run(script, records, dialects=[Dialect.V1], batch_size=size) for size in (1, 3, 64)]
    assert results[0].judged == results[1].judged == results[2].judged


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
