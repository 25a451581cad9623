"""Which traces are kept, what is counted, and that no answer is asked for twice."""

import asyncio
import dataclasses
import io
import json

import pytest
from PIL import Image
from rich.console import Console

from urt_core import Completion, Dialect, Media, MediaKind, Preference, PreferenceRecord, SamplingParams, Task, Usage
from urt_core.engines import FinishReason
from urt_core.engines.endpoint.budget import Budget
from urt_core.engines.endpoint.retrying import RetryPolicy
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted import ScriptedEngine
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint, chat_reply
from urt_core.errors import DataError, EngineError
from urt_core.judging.journal import parts_of
from urt_data.shards import ShardFolder
from urt_train.datasets.distill import distill, distillation_table

QUIET = Console(file=io.StringIO())
RIGHT = "<think>\n1. Semantics: Image 1 (9/10) - a; Image 2 (5/10) - b\n</think>\n<answer>Image 1 is better</answer>"
WRONG = RIGHT.replace("<answer>Image 1", "<answer>Image 2")


def png(shade: int = 0) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, shade, shade)).save(content, format="PNG")
    return content.getvalue()


def pair(number: int, label: Preference | None = Preference.FIRST, shade: int = 0) -> PreferenceRecord:
    first = Media(kind=MediaKind.IMAGE, files=("first.png",), data=(png(shade),))
    second = Media(kind=MediaKind.IMAGE, files=("second.png",), data=(png(),))
    return PreferenceRecord(
        key=f"pair-{number}", task=Task.IMAGE_GENERATION, text="a red car", first=first, second=second, preference=label
    )


class SyncTeacher:
    """Has no `agenerate`, as the oracle."""

    model = "sync-teacher"
    batch_size = 2

    def __init__(self, script):
        self.engine = ScriptedEngine(script=script)

    def generate(self, prompts, sampling):
        return self.engine.generate(prompts, sampling)


def run(teacher, records, folder, **options):
    options = {"sampling": SamplingParams(), "dialect": Dialect.V1, "console": QUIET} | options
    return distill(records, teacher=teacher, folder=folder, **options)


def test_a_share_of_the_kept_pairs_is_also_taught_as_a_bare_verdict(tmp_path):
    records = [pair(number, Preference.FIRST if number % 2 else Preference.SECOND) for number in range(8)]
    teacher = SyncTeacher(lambda prompt, sampling: RIGHT if int(prompt.key[-1]) % 2 else WRONG)
    run(teacher, records, tmp_path / "traces", direct_share=0.25)
    written = list(ShardFolder(tmp_path / "traces"))
    assert len(written) == 10
    direct = [record for record in written if record.metadata.get("dialect") == "direct"]
    assert [(record.key, record.completion) for record in direct] == [
        ("pair-3-direct", "Image 1 is better."),
        ("pair-7-direct", "Image 1 is better."),
    ]


@pytest.mark.parametrize("make", [SyncTeacher, lambda script: ScriptedEngine(script=script)], ids=["sync", "async"])
def test_a_trace_is_kept_only_where_the_verdict_is_the_label(tmp_path, make):
    records = [pair(0), pair(1, Preference.SECOND), pair(2), pair(3), pair(4, Preference.TIE), pair(5, None)]
    cut = Completion(text=RIGHT, finish_reason=FinishReason.LENGTH)
    teacher = make({"pair-0": f"\n{RIGHT}\n", "pair-1": RIGHT, "pair-2": "I would rather not.", "pair-3": cut})
    counts = run(teacher, records, tmp_path / "traces")
    expected = {
        "asked": 6,
        "kept": 1,
        "dropped": {"label is a tie": 1, "no label": 1, "no_answer": 1, "truncated": 1, "wrong verdict": 1},
    }
    assert counts[Task.IMAGE_GENERATION].to_json() == expected
    folder = ShardFolder(tmp_path / "traces")
    assert [(record.key, record.completion) for record in folder] == [("pair-0", RIGHT)]
    assert folder[0].first.data == (png(),)
    assert folder.metadata["distillation"]["counts"] == {"image_generation": expected}
    assert folder.metadata["distillation"]["dialect"] == "v1"


def test_traces_stay_in_the_order_of_the_records_whoever_answers_first(tmp_path):
    class Racing(ScriptedEngine):
        concurrency = 4

        async def agenerate(self, prompts, sampling):
            await asyncio.sleep(0.02 if prompts[0].key == "pair-0" else 0)
            return self.generate(prompts, sampling)

    run(Racing(script=lambda prompt, index: RIGHT), [pair(n) for n in range(5)], tmp_path / "traces")
    assert [record.key for record in ShardFolder(tmp_path / "traces")] == [f"pair-{n}" for n in range(5)]


def test_another_attempt_asks_only_for_what_is_missing(tmp_path):
    asked = []

    class Improving:
        model, batch_size = "improving", 1

        def generate(self, prompts, sampling):
            asked.append((prompts[0].key, sampling.seed))
            right = prompts[0].key == "pair-0" or sampling.seed == 2
            return [[Completion(text=RIGHT if right else WRONG)]]

    counts = run(Improving(), [pair(0), pair(1)], tmp_path / "traces", attempts=4)
    assert asked == [("pair-0", 0), ("pair-1", 0), ("pair-1", 1), ("pair-1", 2)]
    assert counts[Task.IMAGE_GENERATION].to_json() == {"asked": 2, "kept": 2, "dropped": {}}


PAID = Usage(prompt_tokens=3, completion_tokens=7)


class PaidTeacher:
    """Counts its calls and what they cost; breaks down after `lasts` of them. As an endpoint, it can only be awaited."""

    model = "paid"

    def __init__(self, lasts: int, *, concurrency: int = 2, text: str = RIGHT, budget: Budget | None = None):
        self.lasts, self.calls, self.text = lasts, [], text
        self.concurrency, self.budget = concurrency, budget

    async def agenerate(self, prompts, sampling):
        if len(self.calls) == self.lasts:
            raise EngineError("the endpoint is gone; try again later")
        self.calls.append(prompts[0].key)
        await asyncio.sleep(0)
        if self.budget:
            self.budget.add(PAID)
        return [[Completion(text=self.text, usage=PAID)]]


def noted(journal) -> list[dict]:
    return [json.loads(line) for part in parts_of(journal) for line in part.read_text().splitlines()]


def test_a_run_that_broke_down_goes_on_without_paying_twice(tmp_path):
    records = [pair(n) for n in range(20)]
    options = {"journal": tmp_path / "answers"}
    first = PaidTeacher(lasts=8)
    with pytest.raises(EngineError, match="gone"):
        run(first, records, tmp_path / "traces", **options)
    assert not (tmp_path / "traces" / "manifest.json").exists()

    second = PaidTeacher(lasts=1000)
    run(second, records, tmp_path / "traces", **options)
    assert len(noted(tmp_path / "answers")) == len(records)
    again = len(first.calls) + len(second.calls) - len(records)
    assert 0 <= again <= 4, "what was in flight when it broke down, of twice the concurrency"
    assert len(ShardFolder(tmp_path / "traces")) == 20

    third = PaidTeacher(lasts=0)
    run(third, records, tmp_path / "traces", **options)
    assert third.calls == []


def test_concurrent_requests_lose_at_most_those_in_flight(tmp_path):
    records = [pair(n) for n in range(30)]
    first = PaidTeacher(lasts=17, concurrency=4)
    with pytest.raises(EngineError):
        run(first, records, tmp_path / "traces", journal=tmp_path / "answers")
    assert len(first.calls) - 8 <= len(noted(tmp_path / "answers")) <= len(first.calls)


def test_what_an_earlier_run_has_spent_is_in_the_budget_unreadable_answers_too(tmp_path):
    records = [pair(n) for n in range(6)]
    for calls in (12, 0):
        budget = Budget(max_tokens=1000)
        teacher = PaidTeacher(lasts=calls, text="I would rather not.", budget=budget)
        with pytest.raises(DataError, match="no right trace"):
            run(teacher, records, tmp_path / "traces", journal=tmp_path / "answers", attempts=2)
        assert len(teacher.calls) == calls
        assert budget.spent == Usage(prompt_tokens=12 * 3, completion_tokens=12 * 7)


def test_a_spent_budget_stops_the_run_and_the_next_one_has_nothing_left(tmp_path):
    def serve(request):
        return chat_reply(RIGHT)

    records = [pair(n, shade=n) for n in range(60)]
    for attempt in range(2):
        with ScriptedEndpoint(script=serve) as endpoint:
            budget = Budget(max_tokens=1)
            teacher = OpenAIEngine(base_url=endpoint.base_url, model="judge", api_key="k", concurrency=1, budget=budget)
            with pytest.raises(EngineError, match=r"failed 20 times in a row \(budget: .* tokens are spent"):
                run(teacher, records, tmp_path / "traces", journal=tmp_path / "answers")
        assert endpoint.num_requests == (1 if attempt == 0 else 0)


def test_half_a_line_of_a_killed_run_is_dropped_and_asked_again(tmp_path):
    journal = tmp_path / "answers"
    run(PaidTeacher(lasts=9, concurrency=1), [pair(n) for n in range(3)], tmp_path / "traces", journal=journal)
    [part] = parts_of(journal)
    last = noted(journal)[-1]["key"]
    part.write_bytes(part.read_bytes()[:-40])
    again = PaidTeacher(lasts=9)
    run(again, [pair(n) for n in range(3)], tmp_path / "traces", journal=journal)
    assert again.calls == [last]
    assert sorted(line["key"] for line in noted(journal)) == ["pair-0", "pair-1", "pair-2"]


@pytest.mark.parametrize("changed", ["image", "dialect", "sampling"])
def test_a_changed_question_is_a_new_question(tmp_path, changed):
    journal = tmp_path / "answers"
    run(PaidTeacher(lasts=9), [pair(0)], tmp_path / "traces", journal=journal)
    again = PaidTeacher(lasts=9)
    record = pair(0, shade=9 if changed == "image" else 0)
    options = {"dialect": {"dialect": Dialect.V2}, "sampling": {"sampling": SamplingParams(temperature=0.7)}}
    run(again, [record], tmp_path / "traces", journal=journal, **options.get(changed, {}))
    assert again.calls == ["pair-0"]


def test_failed_requests_are_counted_and_tried_again(tmp_path):
    failed = Completion(text="", finish_reason=FinishReason.HTTP_ERROR, detail="503")
    journal = tmp_path / "answers"
    counts = run(ScriptedEngine(script=[RIGHT, failed]), [pair(0), pair(1)], tmp_path / "traces", journal=journal)
    assert counts[Task.IMAGE_GENERATION].dropped == {"http_error": 1}
    counts = run(ScriptedEngine(script=[RIGHT]), [pair(0), pair(1)], tmp_path / "traces", journal=journal)
    assert counts[Task.IMAGE_GENERATION].kept == 2


def test_a_damaged_journal_names_its_line(tmp_path):
    journal = tmp_path / "answers"
    run(PaidTeacher(lasts=9), [pair(0)], tmp_path / "traces", journal=journal)
    parts_of(journal)[0].write_text('{"key": 1}\n')
    with pytest.raises(DataError, match=r"rank-0000\.jsonl, line 1"):
        run(PaidTeacher(lasts=9), [pair(0)], tmp_path / "traces", journal=journal)


def test_no_right_trace_at_all_writes_nothing(tmp_path):
    with pytest.raises(DataError, match=r"no right trace for 2 pairs \(wrong verdict: 2\)"):
        run(ScriptedEngine(script=[WRONG, WRONG]), [pair(0), pair(1)], tmp_path / "traces")
    assert not (tmp_path / "traces").exists()


def test_the_table_lists_every_reason(tmp_path):
    records = [pair(0), pair(1, Preference.SECOND)]
    counts = run(ScriptedEngine(script=[RIGHT, RIGHT]), records, tmp_path / "traces")
    table = distillation_table(counts)
    assert table.columns == ("task", "pairs", "kept", "wrong verdict")
    assert table.rows == (("Image generation", "2", "1", "1"),)


def test_a_dead_teacher_stops_the_run_and_keeps_what_it_answered(tmp_path):
    failed = Completion(text="", finish_reason=FinishReason.HTTP_ERROR, detail="HTTP 401: who are you?")
    teacher = ScriptedEngine(script=[RIGHT, *[failed] * 50])
    journal = tmp_path / "answers"
    with pytest.raises(EngineError, match=r"failed 20 times in a row \(http_error: HTTP 401: who are you\?\)"):
        run(teacher, [pair(n) for n in range(50)], tmp_path / "traces", journal=journal)
    assert len(teacher.prompts) == 21
    assert [line["status"] for line in noted(journal)] == ["ok", *["http_error"] * 20]


def test_an_endpoint_is_asked_once_per_pair_over_two_runs(tmp_path):
    """The real client against a local server: a broken first run, then a second one; the connections are closed."""
    answered: list[str] = []
    failures: list[object] = []

    def serve(request):
        if "caption-5" in request.text and not failures:
            failures.append(request)
            return Reply(status=500, body=b"overloaded")
        answered.append(request.text)
        return chat_reply(RIGHT)

    records = [dataclasses.replace(pair(n), text=f"caption-{n}") for n in range(6)]
    with ScriptedEndpoint(script=serve) as endpoint:
        for _ in range(2):
            teacher = OpenAIEngine(
                base_url=endpoint.base_url, model="judge", api_key="k", retry=RetryPolicy(max_attempts=1)
            )
            counts = run(teacher, records, tmp_path / "traces", journal=tmp_path / "answers")
            teacher.close()
    assert counts[Task.IMAGE_GENERATION].kept == 6
    assert len(answered) == len(set(answered)) == 6
