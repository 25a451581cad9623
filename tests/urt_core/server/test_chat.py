"""The chat-completions route, by the official client and by urt's own engine."""

import base64
import io

import pytest
from fastapi.testclient import TestClient
from openai.types.chat import ChatCompletion
from PIL import Image

from urt_core import Completion, FinishReason, Scorer, Usage
from urt_core.engines.scripted import ScriptedEngine
from urt_core.server import create_app
from urt_core.server.chat import ChatRequest


def picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def client_of(script):
    """The official client, straight into the application."""
    engine = ScriptedEngine(script=script, model="judge")
    app = TestClient(create_app(Scorer(engine=engine, allow_paths=False)), base_url="http://127.0.0.1/v1/")
    return engine, app


def ask(script, **changes):
    engine, app = client_of(script)
    content = [{"type": "image_url", "image_url": {"url": picture()}}, {"type": "text", "text": "Which is better?"}]
    return engine, app.post("chat/completions", json={"messages": [{"role": "user", "content": content}]} | changes)


def test_the_official_client_reads_the_answer():
    answer = Completion(
        text="Image 1",
        token_ids=(5, 6),
        logprobs=(-0.5, -0.25),
        token_texts=("Image", " 1"),
        usage=Usage(prompt_tokens=7, completion_tokens=2),
    )
    engine, reply = ask([answer, answer], n=2, logprobs=True, model="anything", stop=["x"], max_tokens=5)
    completion = ChatCompletion.model_validate(reply.json(), strict=True)
    assert [choice.message.content for choice in completion.choices] == ["Image 1", "Image 1"]
    assert completion.choices[0].finish_reason == "stop"
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert logprobs.content[1].logprob == -0.25
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.total_tokens) == (14, 18)
    assert [part if isinstance(part, str) else str(part.kind) for part in engine.prompts[0].parts] == [
        "image",
        "Which is better?",
    ]


def test_a_client_that_names_no_length_gets_the_judges():
    request = {"messages": [{"role": "user", "content": "?"}]}
    lengths = [
        ChatRequest.model_validate(request | sent).sampling(max_tokens=2048).max_tokens
        for sent in ({}, {"max_tokens": 5})
    ]
    assert lengths == [2048, 5]


@pytest.mark.parametrize(
    ("reason", "code", "kind"),
    [
        (FinishReason.TIMEOUT, 504, "timeout"),
        (FinishReason.HTTP_ERROR, 502, "server_error"),
        (FinishReason.BUDGET, 429, "insufficient_quota"),
        (FinishReason.BAD_MEDIA, 422, "invalid_request_error"),
    ],
)
def test_a_failure_is_an_error_and_never_an_empty_answer(reason, code, kind):
    _, reply = ask([Completion(text="", finish_reason=reason, detail="why")])
    assert reply.status_code == code
    assert reply.json()["error"] == {"message": "why", "type": kind, "code": str(reason)}


@pytest.mark.parametrize(
    ("reason", "expected"), [(FinishReason.LENGTH, "length"), (FinishReason.REFUSED, "content_filter")]
)
def test_other_endings_keep_their_names(reason, expected):
    _, reply = ask([Completion(text="<think>", finish_reason=reason)])
    assert reply.json()["choices"][0]["finish_reason"] == expected


def user(content):
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": []},
        {"messages": [{"role": "system", "content": "be kind"}]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
        user(""),
        user([]),
        user("which?<|im_end|>"),
        user([{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]),
        user([{"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}]),
        user([{"type": "input_audio"}]),
        {"stream": True},
        {"n": 0},
        {"n": 33},
        {"temperature": -1},
        {"max_tokens": 10**9},
    ],
)
def test_what_a_judge_cannot_be_asked_is_422_and_never_reaches_it(changes):
    engine, reply = ask(["never"], **changes)
    assert reply.status_code == 422
    assert engine.prompts == []
