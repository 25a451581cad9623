"""What a client is answered: a completion, events, or an error that says why."""

import pytest
from fastapi.testclient import TestClient
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.urt_core.server.protocols.chatting import ask, client_of, user
from urt_core import Completion, FinishReason, Scorer, Usage
from urt_core.server import create_app


@pytest.mark.parametrize(
    ("reason", "code", "kind"),
    [
        (FinishReason.TIMEOUT, 504, "timeout"),
        (FinishReason.HTTP_ERROR, 502, "server_error"),
        (FinishReason.BUDGET, 429, "insufficient_quota"),
        (FinishReason.BAD_MEDIA, 400, "invalid_request_error"),
    ],
)
def test_a_failure_is_an_error_and_never_an_empty_answer(reason, code, kind):
    _, reply = ask([Completion(text="", finish_reason=reason, detail="why")])
    assert reply.status_code == code
    error = reply.json()["error"]
    assert (error["message"], error["type"], error["code"]) == ("why", kind, str(reason))


@pytest.mark.parametrize(
    ("reason", "expected"), [(FinishReason.LENGTH, "length"), (FinishReason.REFUSED, "content_filter")]
)
def test_other_endings_keep_their_names(reason, expected):
    _, reply = ask([Completion(text="<think>", finish_reason=reason)])
    assert reply.json()["choices"][0]["finish_reason"] == expected


def test_an_answer_ends_before_its_stop():
    tokens = ("good", " </", "answer", "> more")
    answer = Completion(
        text="good </answer> more", token_texts=tokens, logprobs=(-0.1, -0.2, -0.3, -0.4), token_ids=(1, 2, 3, 4)
    )
    _, reply = ask([answer], stop="</answer>", logprobs=True)
    [choice] = reply.json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("good ", "stop")
    assert [token["token"] for token in choice["logprobs"]["content"]] == ["good", " </"]


def test_the_likeliest_tokens():
    top = ((("Yes", -0.22), ("No", -1.65)),)
    answer = Completion(text="Yes", token_texts=("Yes",), logprobs=(-0.22,), token_ids=(1,), top_logprobs=top)
    engine, app = client_of([answer])
    vars(engine)["honours"] = frozenset({"top_logprobs"})
    _, app = engine, TestClient(create_app(Scorer(engine=engine, allow_paths=False)), base_url="http://127.0.0.1/v1/")
    body = user("?") | {"logprobs": True, "top_logprobs": 2}
    completion = ChatCompletion.model_validate(app.post("chat/completions", json=body).json(), strict=True)
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [(entry.token, entry.logprob) for entry in logprobs.content[0].top_logprobs] == [
        ("Yes", -0.22),
        ("No", -1.65),
    ]


def test_a_stream_is_the_same_answer_in_events():
    usage = Usage(prompt_tokens=7, completion_tokens=2)
    answers = [Completion(text="Image 1", usage=usage), Completion(text="", finish_reason=FinishReason.LENGTH)]
    _, reply = ask(answers, stream=True, n=2, stream_options={"include_usage": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    *events, end, rest = reply.text.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    chunks = [ChatCompletionChunk.model_validate_json(event.removeprefix("data: "), strict=True) for event in events]
    *parts, last = chunks
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 9
    text = {0: "", 1: ""}
    reasons = {}
    for chunk in parts:
        [choice] = chunk.choices
        text[choice.index] += choice.delta.content or ""
        reasons[choice.index] = choice.finish_reason
    assert text == {0: "Image 1", 1: ""}
    assert reasons == {0: "stop", 1: "length"}
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_that_fails_before_its_first_byte_keeps_its_status():
    _, reply = ask([Completion(text="", finish_reason=FinishReason.TIMEOUT, detail="why")], stream=True)
    assert (reply.status_code, reply.json()["error"]["message"]) == (504, "why")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.5])
@pytest.mark.parametrize("at_the_top", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_numbers_that_are_no_log_probabilities_are_a_status_or_nobodys(number, at_the_top, stream):
    chosen, likely = (-0.1, number) if at_the_top else (number, -0.1)
    answer = Completion(
        text="Yes", token_texts=("Yes",), logprobs=(chosen,), token_ids=(1,), top_logprobs=((("No", likely),),)
    )
    engine, app = client_of([answer, answer])
    vars(engine)["honours"] = frozenset({"top_logprobs"})
    asked = app.post("chat/completions", json=user("?") | {"logprobs": True, "top_logprobs": 1, "stream": stream})
    assert (asked.status_code, asked.json()["error"]["param"]) == (502, "logprobs")
    unasked = app.post("chat/completions", json=user("?") | {"stream": stream})
    assert unasked.status_code == 200
    assert "Yes" in unasked.text
    assert '"logprobs": null' in unasked.text.replace('"logprobs":null', '"logprobs": null')
