"""Bodies that are no JSON, no text, too deep or wrong in thousands of places: a bounded 4xx, soon."""

import json
import time

import pytest

from urt_core.server.bodies import parse
from urt_core.server.problems import Problem
from urt_core.server.protocols.chat import ChatRequest
from urt_core.server.requests import CompareRequest, ComputeRequest, RankRequest

PAIR = {"task": "image_understanding", "text": "q", "first": "a", "second": "b"}
RANK = {"task": "image_generation", "text": "q"}


def problem_of(model, body):
    with pytest.raises(Problem) as found:
        parse(model, body if isinstance(body, bytes) else json.dumps(body).encode())
    return found.value


@pytest.mark.parametrize(
    ("model", "body", "status"),
    [
        (CompareRequest, b"", 400),
        (CompareRequest, b"{", 400),
        (CompareRequest, b'{"text": NaN}', 400),
        (CompareRequest, b'{"text": -Infinity}', 400),
        (CompareRequest, b'{"text": "\xff"}', 400),
        (CompareRequest, b"[" * 5000 + b"]" * 5000, 400),
        (CompareRequest, b"[]", 422),
        (CompareRequest, b"3", 422),
        (CompareRequest, b'{"\\ud800": 1}', 422),
        (CompareRequest, b'{"text": "\\ud800"}', 422),
        (ChatRequest, b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 422),
        (ChatRequest, b'{"messages": [{"role": "user", "content": "hi"}], "seed": 1e999}', 400),
        (ChatRequest, b'{"messages": [{"role": "user", "content": "hi"}], "seed": ' + b"9" * 5000 + b"}", 400),
        (ChatRequest, b'{"messages": [{"role": "user", "content": "hi"}], "temperature": 1e999}', 400),
        (RankRequest, RANK | {"candidates": [1] * 32768}, 422),
        (RankRequest, RANK | {"candidates": [1] * 262144}, 413),
        (RankRequest, RANK | {"candidates": ["x"] * 100_000}, 422),
        (RankRequest, RANK | {"candidates": [[["x"] * 1000] * 100]}, 422),
        (CompareRequest, PAIR | {f"k{index}": 1 for index in range(3000)}, 422),
        (CompareRequest, PAIR | {"x" * 100_000: 1}, 422),
        (CompareRequest, PAIR | {"first": "word " * 20_001}, 422),
        (CompareRequest, PAIR | {"first": ["a"]}, 422),
        (ChatRequest, {"messages": [{"role": "user", "content": [0] * 8000}]}, 400),
        (ChatRequest, {"messages": [{"role": "user"}] * 5000}, 400),
        (ComputeRequest, {"prompt": [0] * 8000, "image": [0] * 8000}, 422),
    ],
)
def test_a_wrong_body_is_refused_in_bounded_size_and_time(model, body, status):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    began = time.monotonic()
    problem = problem_of(model, body)
    assert time.monotonic() - began < 1.0
    assert problem.status == status
    assert len(problem.body) < 4096
    assert json.loads(problem.body)["error"]["message"]


def test_the_refusal_names_the_first_fields_and_repeats_nothing():
    problem = problem_of(
        CompareRequest, {"task": "audio", "text": 5, "first": "SECRET", "second": None, "votes": "SECRET"}
    )
    assert problem.error["param"] == "task"
    for name in ("task", "text", "second", "votes"):
        assert f"{name}: " in problem.error["message"]
    assert "SECRET" not in problem.error["message"]


def test_pictures_may_be_long_and_many_values_are_not_many_commas_in_a_text():
    picture = "data:image/png;base64," + "A" * 10**6
    request = parse(
        CompareRequest,
        json.dumps({"task": "image_generation", "text": "a, b" * 100, "first": picture, "second": picture}).encode(),
    )
    assert request.first == picture
