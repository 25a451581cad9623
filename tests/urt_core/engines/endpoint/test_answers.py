"""Whatever an endpoint answers: completions whose numbers can be used, or one reason why there are none, and what it cost."""

import json
import math
from random import Random

import pytest

from urt_core import Dialect, Media, MediaKind, PreferenceRecord, Status, Task
from urt_core.comparison import Order, ProbabilityMethod, compare_votes, read_vote
from urt_core.engines import Completion, FinishReason, SamplingParams, Usage
from urt_core.engines.endpoint.answers import UnreadableAnswer, is_same_model, read_answer

GOOD = "Answer 1 is better."
LOGPROBS = SamplingParams(logprobs=True, num_completions=2)


def body(content=GOOD, *, finish="stop", logprobs=None, usage=(600, 150), model="judge", **message):
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    if logprobs is not None:
        choice["logprobs"] = logprobs
    value = {"id": "1", "model": model, "choices": [choice]}
    if usage is not None:
        value["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return value


def read(value, *, sampling=LOGPROBS, content_type="application/json", **settings):
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    names = {"asked_model": "judge", "accepted_models": ()} | settings
    return read_answer(content, content_type=content_type, sampling=sampling, **names)


def outcome(content, **settings):
    """Completions and no reason, or none and why."""
    try:
        return read(content, **settings), ""
    except UnreadableAnswer as error:
        return [], str(error)


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "stop"), ("STOP", "stop"), ("end_turn", "stop"), ("eos_token", "stop"), ("stop_sequence", "stop"), (None, "stop"),
        ("length", "length"), ("MAX_TOKENS", "length"), ("content_filter", "refused"), ("SAFETY", "refused"),
    ],
)  # fmt: skip
def test_ends_of_a_text_by_any_of_their_names(finish, reason):
    [completion] = read(body(finish=finish))
    assert (completion.finish_reason, completion.usage) == (reason, Usage(prompt_tokens=600, completion_tokens=150))


@pytest.mark.parametrize("finish", ["tool_calls", "function_call", "unheard_of", "", 5, {}, [], True])
def test_an_unexpected_end_fails_at_once_and_was_paid_for(finish):
    with pytest.raises(UnreadableAnswer, match="no end of a text") as caught:
        read(body(finish=finish))
    assert (caught.value.is_retried, caught.value.usage.completion_tokens) == (False, 150)


@pytest.mark.parametrize("finish", ["abort", "error"])
def test_a_server_that_gave_up_is_asked_again(finish):
    with pytest.raises(UnreadableAnswer, match="gave up") as caught:
        read(body(finish=finish))
    assert (caught.value.is_retried, caught.value.usage.completion_tokens) == (True, 150)


@pytest.mark.parametrize("content", [5, {}, {"text": "a"}, True, [{"type": "text", "text": 5}], [{"text": ["a"]}]])
def test_a_content_of_another_type_is_no_text(content):
    with pytest.raises(UnreadableAnswer, match="content is") as caught:
        read(body(content))
    assert caught.value.usage.completion_tokens == 150


@pytest.mark.parametrize(
    "logprobs",
    [[], "x", True, 5, {"content": 5}, {"content": [5]}, {"content": [None]}, {"content": {"a": 1}}, {"content": "ab"}]
    + [{"content": [{"token": "a", "logprob": number}]} for number in (math.nan, math.inf, -math.inf, 5, 0.1, 10**400, None, "x", True)]
    + [{"content": [{"token": token, "logprob": -1.0}]} for token in (None, 5, ["a"])]
    + [{"content": [{"token": "a", "logprob": -1.0, "top_logprobs": top}]} for top in (5, "x", [5], [{"token": "b", "logprob": 5}])],
)  # fmt: skip
def test_logprobs_of_another_shape_fail_where_they_were_asked_for(logprobs):
    with pytest.raises(UnreadableAnswer) as caught:
        read(body(logprobs=logprobs), sampling=SamplingParams(logprobs=True, top_logprobs=2))
    assert len(str(caught.value)) < 300
    [completion] = read(body(logprobs=logprobs), sampling=SamplingParams())
    assert (completion.text, completion.logprobs) == (GOOD, ())


def test_logprobs_that_round_to_a_little_above_zero_are_zero():
    [completion] = read(body(logprobs={"content": [{"token": "a", "logprob": 3e-5}, {"token": "b", "logprob": -2}]}))
    assert completion.logprobs == (0.0, -2.0)


def test_no_logprobs_where_the_endpoint_gives_none():
    for nothing in ({"content": None}, {"content": []}, {}):
        [completion] = read(body(logprobs=nothing))
        assert completion.logprobs == ()


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7}, Usage(prompt_tokens=5, completion_tokens=7)),
        *(
            ({"prompt_tokens": wrong, "completion_tokens": 7}, None)
            for wrong in (-1, 1.5, "5", True, None, 10**30, math.nan, [])
        ),
        (None, None),
        (5, None),
    ],
)
def test_a_usage_that_can_not_be_is_estimated(usage, counted):
    value = body(usage=None) | {"usage": usage}
    [completion] = read(value)
    assert completion.usage == (counted or Usage(completion_tokens=len(json.dumps(value)) // 4))


def test_lone_surrogates_are_made_safe_where_they_enter():
    value = body("a \ud83d cat 🐈", logprobs={"content": [{"token": "\udfff", "logprob": -1.0}]})
    [completion] = read(value)
    assert completion.text == "a � cat 🐈"
    assert completion.token_texts == ("�",)
    [refused] = read(body(refusal="no \ud83d"))
    assert (refused.finish_reason, refused.detail) == ("refused", "no �")


@pytest.mark.parametrize("depth", [100, 900, 1000, 5000, 100_000])
def test_depth_is_an_answer_or_a_reason(depth):
    nested = b"[" * depth + b"]" * depth
    for content in (
        nested,
        json.dumps(body()).encode()[:-1] + b', "more": ' + nested + b"}",
        b'{"choices": [{"finish_reason": "stop", "message": {"content": ' + nested + b"}}]}",
        b'{"model": ' + nested + b', "choices": [1]}',
        b'{"choices": [{"finish_reason": ' + nested + b"}]}",
    ):
        found, reason = outcome(content)
        assert [each.text for each in found] in ([GOOD], [])
        assert len(reason) < 400


def test_choices_beyond_what_was_asked_for_are_left_out():
    value = body()
    value["choices"] *= 5
    assert len(read(value)) == 2


@pytest.mark.parametrize(
    ("answered", "asked", "accepted", "is_same"),
    [
        ("judge-2026-01-01", "judge", (), True),
        ("qwen2.5vl:latest", "qwen2.5vl", (), True),
        ("qwen/qwen3-vl-8b-instruct", "qwen/qwen3-vl-8b-instruct:free", (), True),
        ("gemini-3-pro", "models/gemini-3-pro", (), True),
        ("qwen2.5vl:7b", "qwen2.5vl:72b", (), False),
        ("qwen2.5vl:7b", "qwen2.5vl", (), False),
        (None, "judge", (), True),
        ("", "judge", (), True),
        ("another", "judge", (), False),
        ("another", "judge", ("another",), True),
        ("/models/x.gguf", "judge", ("*",), True),
        (5, "judge", (), False),
        ({}, "judge", (), False),
    ],
)
def test_who_answered(answered, asked, accepted, is_same):
    value = body(model=answered)
    if is_same:
        read(value, asked_model=asked, accepted_models=accepted)
    else:
        with pytest.raises(UnreadableAnswer, match="answered by model") as caught:
            read(value, asked_model=asked, accepted_models=accepted)
        assert (caught.value.is_retried, caught.value.usage.completion_tokens) == (False, 150)
        assert not is_same_model(answered, asked)


def test_a_stream_though_nobody_asked_is_put_together():
    def event(**delta):
        return {"model": "judge", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}

    end = {"model": "judge", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"model": "judge", "choices": [], "usage": {"prompt_tokens": 6, "completion_tokens": 3}}
    events = [event(role="assistant"), event(content="Answer 1 "), event(content="is better."), end, usage]
    lines = [f"data: {json.dumps(each)}\n\n" for each in events]
    [completion] = read("".join([": hello\n\n", *lines, "data: [DONE]\n\n"]).encode(), content_type="text/event-stream")
    assert (completion.text, completion.usage) == (GOOD, Usage(prompt_tokens=6, completion_tokens=3))
    [cut] = read("".join(lines[:3]).encode(), content_type="text/plain")
    assert (cut.text, cut.finish_reason) == (GOOD, "length")
    with pytest.raises(UnreadableAnswer, match="no choices"):
        read(b"data: {oops\n\ndata: 5\n\ndata: [[[[\n\n", content_type="text/event-stream")


# Generated ones

NASTY = [
    None, True, False, 0, -1, 5, 10**30, 10**400, 1.5, math.nan, math.inf, -math.inf, "", "x", "\ud83d", "\0", "a" * 10_000, [], {}, [[]],
    [None], [5], {"text": 5}, {"content": None}, {"token": "a"}, [{"token": "a", "logprob": math.nan}], "stop", "length", "NaN", "1e999",
    "data: {}", {"error": 1}, {"message": []}, -0.5,
]  # fmt: skip


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from places(inner, (*path, name))


def changed(value, path, new):
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = changed(value[path[0]], path[1:], new)
    return copied


def generated(random):
    """A good answer with one to three places changed, sometimes cut off, sometimes with bytes turned."""
    tokens = [{"token": "Answer 1", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -2}]}]
    value = body(logprobs={"content": tokens}, reasoning_content=random.choice([None, "because", 5]), refusal=None)
    value |= {"error": None, "created": 0}
    for _ in range(random.randint(1, 3)):
        value = changed(value, random.choice(list(places(value))), random.choice(NASTY))
    content = bytearray(json.dumps(value).encode())
    if random.random() < 0.1:
        del content[random.randrange(len(content) + 1) :]
    for _ in range(random.choice([0, 0, 0, 1, 5]) if content else 0):
        content[random.randrange(len(content))] = random.randrange(256)
    return bytes(content)


def test_five_thousand_generated_answers_end_in_one_status_each():
    random, statuses = Random(7), set()
    picture = Media(kind=MediaKind.IMAGE, files=("a.png",), data=(b"x",))
    record = PreferenceRecord(key="pair", task=Task.IMAGE_UNDERSTANDING, text="?", first="a", second="b", media=picture)
    for _ in range(5000):
        content = generated(random)
        sampling = random.choice([LOGPROBS, SamplingParams()])
        kind = random.choice(["application/json", "", "text/event-stream"])
        completions, reason = outcome(content, sampling=sampling, content_type=kind)
        assert len(reason.encode()) < 600
        completions = completions or [Completion(text="", finish_reason=FinishReason.HTTP_ERROR, detail=reason)]
        votes = [read_vote(each, order=Order.GIVEN, task=record.task, dialect=Dialect.DIRECT) for each in completions]
        comparison = compare_votes(record, votes, method=ProbabilityMethod.LOGPROB)
        line = json.dumps(comparison.to_json(), allow_nan=False, ensure_ascii=False).encode()
        assert len(line) < 200_000
        assert (comparison.probability_first is not None) == (comparison.status is Status.OK)
        assert comparison.probability_first is None or 0 <= comparison.probability_first <= 1
        assert all(-1e30 < number <= 0 for each in completions for number in each.logprobs)
        assert 0 <= comparison.usage.prompt_tokens + comparison.usage.completion_tokens <= 2 * 10**9
        statuses.add(str(comparison.status))
    assert statuses >= {"ok", "parse_error", "http_error", "refused", "truncated"}
