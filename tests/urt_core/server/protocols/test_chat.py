"""The chat-completions route, by the official client and by urt's own engine."""

import pytest
from fastapi.testclient import TestClient
from openai.types.chat import ChatCompletion

from tests.urt_core.server.protocols.chatting import ask, client_of, picture, user
from urt_core import Completion, Scorer, Usage
from urt_core.server import create_app
from urt_core.server.protocols.chat import ChatRequest


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
        ChatRequest.model_validate(request | sent).sampling(max_tokens=2048, honoured=frozenset()).max_tokens
        for sent in ({}, {"max_tokens": 5})
    ]
    assert lengths == [2048, 5]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "be kind"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "b"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
        (user(""), "messages.0.content"),
        (user([]), "messages.0.content"),
        (user("which?<|im_end|>"), "messages"),
        (user("which <image>?"), "messages"),
        (user([{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]), "messages.0.content.0"),
        (user([{"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}]), "messages.0.content.0"),
        (
            user([{"type": "image_url", "image_url": {}}]),
            "messages.0.content.0.image_url.image_url.url",
        ),
        (user([{"type": "video_url", "video_url": "data:video/mp4;base64,AAAA"}]), "messages.0.content.0"),
        (user([{"type": "input_audio"}]), "messages.0.content.0"),
        ({"n": 0}, "n"),
        ({"n": 64}, "n"),
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"stop": [""]}, "stop.0"),
        ({"top_logprobs": 5}, "top_logprobs"),
        ({"top_logprobs": 5, "logprobs": True}, "top_logprobs"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"top_k": 5}, "top_k"),
        ({"do_sample": True}, "do_sample"),
        ({"made_up": 1}, "made_up"),
    ],
)
def test_what_a_judge_cannot_be_asked_is_refused_by_name_and_never_reaches_it(changes, param):
    engine, reply = ask(["never"], **changes)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert param.split(".")[0] in error["message"]
    assert engine.prompts == []


@pytest.mark.parametrize(
    "changes",
    [
        dict.fromkeys(
            (
                "temperature",
                "top_p",
                "n",
                "max_tokens",
                "seed",
                "stop",
                "logprobs",
                "top_logprobs",
                "stream",
                "tools",
                "user",
            )
        ),
        {
            "tools": [],
            "response_format": {"type": "text"},
            "presence_penalty": 0,
            "frequency_penalty": 0.0,
            "logit_bias": {},
        },
        {
            "do_sample": False,
            "tool_choice": "none",
            "top_k": -1,
            "repetition_penalty": 1.0,
            "user": "me",
            "model": "gpt-4",
        },
        {"temperature": 1e-300, "top_p": 5e-324, "seed": -1, "max_completion_tokens": 1},
    ],
)
def test_what_asks_for_nothing_counts_as_absent(changes):
    engine, reply = ask(["fine"], **changes)
    assert reply.json()["choices"][0]["message"]["content"] == "fine"
    assert len(engine.prompts) == 1


def test_turns_keep_their_order_and_their_images():
    image = {"type": "image_url", "image_url": picture()}
    messages = [
        {"role": "developer", "content": "Compare."},
        {"role": "user", "content": [{"type": "text", "text": "**Image 1:**"}, image]},
        {"role": "assistant", "content": "Seen."},
        {"role": "user", "content": [image, {"type": "text", "text": "Which?"}]},
    ]
    engine, reply = ask(["fine"], messages=messages)
    assert reply.status_code == 200
    shown = [
        (turn.role, [part if isinstance(part, str) else "image" for part in turn.parts])
        for turn in engine.prompts[0].turns
    ]
    assert shown == [
        ("system", ["Compare."]),
        ("user", ["**Image 1:**", "image"]),
        ("assistant", ["Seen."]),
        ("user", ["image", "Which?"]),
    ]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["<image>\nWhich?"], ["image", "Which?"]),
        (["<image>Which?"], ["image", "Which?"]),
        (["A: <image>\nB"], ["A: ", "image", "B"]),
        (["Which?"], ["image", "Which?"]),
    ],
)
def test_a_placeholder_says_where_the_image_belongs(texts, expected):
    image = {"type": "image_url", "image_url": {"url": picture()}}
    engine, reply = ask(["fine"], **user([image, *({"type": "text", "text": text} for text in texts)]))
    assert reply.status_code == 200
    assert [part if isinstance(part, str) else "image" for part in engine.prompts[0].parts] == expected


def test_one_placeholder_for_two_images_is_no_slot():
    image = {"type": "image_url", "image_url": {"url": picture()}}
    _, reply = ask(["never"], **user([image, image, {"type": "text", "text": "<image>\nWhich?"}]))
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "messages")


SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}


SENT_ON = {
    "response_format": ([{"type": "json_object"}, SCHEMA], [{"type": "json_schema"}, {"type": "yaml"}, "json", []]),
    "presence_penalty": ([0.5], ["high", True]),
    "frequency_penalty": ([-2], [3, [1]]),
}


@pytest.mark.parametrize("name", SENT_ON)
def test_what_is_sent_on_is_looked_at_first(name):
    taken, refused = SENT_ON[name]
    for value in (*taken, *refused):
        engine, _ = client_of(["fine"])
        vars(engine)["honours"] = frozenset(SENT_ON)
        app = TestClient(create_app(Scorer(engine=engine, allow_paths=False)), base_url="http://127.0.0.1/v1/")
        reply = app.post("chat/completions", json=user("Which?") | {name: value})
        assert (reply.status_code, len(engine.prompts)) == ((200, 1) if value in taken else (400, 0))
        assert value in taken or reply.json()["error"]["param"] == name


TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "x"}, {"role": "user", "content": "b"}]


@pytest.mark.parametrize("content", ["x", None, []])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tool_calls", [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]),
        ("function_call", {"name": "f", "arguments": "{}"}),
        ("refusal", "no"),
        ("audio", {"id": "1"}),
        ("reasoning_content", "because"),
        ("prefix", True),
    ],
)
def test_what_a_turn_says_beside_its_content_is_refused_by_name(name, said, content):
    _, app = client_of(["Image 1"])
    first, answer, last = TURNS
    body = {"messages": [first, answer | {"content": content, name: said}, last]}
    refused = app.post("chat/completions", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, f"messages.1.{name}")


def test_a_turn_as_the_official_client_hands_it_back_is_taken():
    """Every field of an answer's message that says nothing, and names of speakers."""
    engine, app = client_of(["Image 1"])
    nothing = {"refusal": None, "audio": None, "function_call": None, "tool_calls": None, "annotations": []}
    first, answer, last = TURNS
    body = {"messages": [first | {"name": "bob"}, answer | nothing | {"tool_calls": []}, last]}
    assert app.post("chat/completions", json=body).status_code == 200
    assert [turn.role for turn in engine.prompts[0].turns] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url"}, "messages.0.content.0.image_url"),
        ({"type": "image_url", "image_url": {"url": ""}}, "messages.0.content.0.image_url"),
        ({"type": "image_url", "video_url": {"url": picture()}}, "messages.0.content.0.image_url"),
        ({"type": "text", "text": "x", "image_url": {"url": picture()}}, "messages.0.content.0.text.image_url"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "messages.0.content.0"),
        ({"type": "file", "file": {"file_id": "x"}}, "messages.0.content.0"),
        ({"type": "image", "source": {"type": "base64", "data": ""}}, "messages.0.content.0"),
        ({"type": "input_text", "text": "x"}, "messages.0.content.0"),
        ({"text": "x"}, "messages.0.content.0"),
        ("x", "messages.0.content.0"),
        (None, "messages.0.content.0"),
    ],
)
def test_a_part_that_shows_nothing_is_refused_where_it_stands(part, param):
    _, app = client_of(["Image 1"])
    refused = app.post("chat/completions", json=user([part, {"type": "text", "text": "which?"}]))
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


FILLED_IN = {
    "ignore_eos": (False, True),
    "min_tokens": (0, 5),
    "stop_token_ids": ([], [5]),
    "bad_words": ([], ["x"]),
    "include_stop_str_in_output": (False, True),
    "skip_special_tokens": (True, False),
    "spaces_between_special_tokens": (True, False),
    "add_generation_prompt": (True, False),
    "continue_final_message": (False, True),
    "enable_thinking": (False, True),
    "reasoning_effort": ("none", "low"),
    "mm_processor_kwargs": ({}, {"max_pixels": 5}),
    "return_hidden_states": (False, True),
}


@pytest.mark.parametrize("name", FILLED_IN)
def test_defaults_that_a_client_fills_in_ask_for_nothing_and_anything_else_is_refused(name):
    nothing, something = FILLED_IN[name]
    assert ask(["Image 1"], **{name: nothing})[1].status_code == 200
    refused = ask(["Image 1"], **{name: something})[1]
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, name)
