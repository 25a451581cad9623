"""Bodies nobody thought of, on every route: a result or a 4xx of bounded size in OpenAI's form, never a 500, and the judge is still there."""

import json
import math

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from urt_core import Dialect, Scorer
from urt_core.engines.scripted import ScriptedEngine
from urt_core.server import ServerSettings, create_app

ROUTES = (
    "/v1/compare",
    "/v1/score",
    "/v1/rank",
    "/compute",
    "/v1/chat/completions",
    "/score",
    "/get_reward",
    "/compare",
)
PIXEL = "data:image/gif;base64,R0lGODdhAQABAPAAAP8AAAAAACwAAAAAAQABAAACAkQBADs="
GOOD = {
    "task": "image_understanding", "text": "q", "first": "a", "second": "b", "candidate": "a", "candidates": ["a", "b"], "media": PIXEL,
    "prompt": ["q", "q"], "image": [PIXEL, PIXEL], "groups": ["g", "g"], "group_size": 2, "votes": 1, "orders": "given", "key": "k",
    "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}, {"type": "text", "text": "q"}]}],
    "n": 1, "stop": ["x"], "seed": 1, "logprobs": False, "temperature": 0.5, "stream": False, "query": ["q a"], "prompts": ["q"],
    "labels": ['{"question": "q", "media": "x"}'], "requests": [{"history": [{"text": "q", "image_b64": "AAAA"}], "required_rewards": ["unified_reward"]}],
    "conversation_history": [{"role": "user", "content": "q"}], "response_objs": [{"output": []}],
}  # fmt: skip
FIELDS = {
    "/v1/compare": ("task", "text", "first", "second", "media", "votes", "orders", "key"),
    "/v1/score": ("task", "text", "candidate", "media", "votes", "key"),
    "/v1/rank": ("task", "text", "candidates", "media", "votes", "orders", "key"),
    "/compute": ("prompt", "image", "groups", "group_size"),
    "/v1/chat/completions": ("messages", "n", "stop", "seed", "logprobs", "temperature", "stream"),
    "/score": ("requests",),
    "/get_reward": ("query", "prompts", "labels"),
    "/compare": ("conversation_history", "response_objs"),
}
TEXTS = st.text(max_size=20) | st.sampled_from(
    [
        "",
        "<image>",
        "<|im_end|>",
        "\x00",
        "data:",
        "data:image/png;base64,",
        "data:;base64,AAAA",
        "/etc/passwd",
        "http://127.0.0.1/",
        "../x",
        "é" * 300,
    ]
)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
VALUES = st.recursive(
    TEXTS | NUMBERS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "url", "text", "image_url"]) | TEXTS, inner, max_size=4
        )
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def client():
    engine = ScriptedEngine(script=lambda prompt, index: "Answer 1 is better.")
    scorer = Scorer(engine=engine, dialect=Dialect.DIRECT, allow_paths=False)
    with TestClient(
        create_app(scorer, ServerSettings(group_timeout_s=0.05, on_failure="tie")),
        base_url="http://127.0.0.1",
        raise_server_exceptions=False,
    ) as client:
        yield client


@st.composite
def bodies(draw):
    """A right body of a route in which a few fields, also inner ones, are something else, missing, or new."""
    route = draw(st.sampled_from(ROUTES))
    body = {name: GOOD[name] for name in FIELDS[route]}
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(FIELDS[route]) | TEXTS)
        what = draw(st.sampled_from(["replace", "remove", "inner"]))
        if what == "remove":
            body.pop(name, None)
        elif what == "inner" and isinstance(body.get(name), list) and body[name]:
            body[name] = [*body[name][:-1], draw(VALUES)]
        else:
            body[name] = draw(VALUES)
    return route, body


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies())
def test_no_body_ends_in_a_fault(client, asked):
    route, body = asked
    answer = client.post(route, content=json.dumps(body).encode(), headers={"content-type": "application/json"})
    assert answer.status_code < 500 or (route, answer.status_code) == ("/compare", 503), answer.text
    assert len(answer.content) < 65536
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
    elif route == "/compute":
        assert all(math.isfinite(reward) for reward in answer.json()["rewards"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ROUTES), st.binary(max_size=200))
def test_no_bytes_end_in_a_fault(client, route, body):
    answer = client.post(route, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 413, 422)
    assert answer.json()["error"]["message"]
