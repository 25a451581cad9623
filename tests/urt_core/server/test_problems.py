"""What a client is told: OpenAI's form, a bounded length, and nothing that nobody foresaw."""

import asyncio
import json

import pytest
from fastapi import Request
from starlette.exceptions import HTTPException

from urt_core.errors import ConfigError, EngineError
from urt_core.server.problems import MAX_MESSAGE, Problem, answer_error, answer_fault, answer_problem, answer_routing

REQUEST = Request({"type": "http", "method": "PUT", "path": "/v1/" + "x" * 500, "headers": []})


def answered(handler, error: Exception):
    response = asyncio.run(handler(REQUEST, error))
    return response, json.loads(response.body)["error"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (422, "invalid_request_error"),
        (429, "insufficient_quota"),
        (500, "server_error"),
        (502, "server_error"),
        (504, "timeout"),
    ],
)
def test_the_kind_follows_from_the_status(status: int, kind: str) -> None:
    response, error = answered(answer_problem, Problem(status, "n is 64", param="n", code="too_many"))
    assert response.status_code == status
    assert error == {"message": "n is 64", "type": kind, "param": "n", "code": "too_many"}


def test_a_message_is_bounded_and_headers_travel() -> None:
    problem = Problem(503, "x" * 10_000, headers={"retry-after": "1"})
    assert len(problem.error["message"]) == MAX_MESSAGE
    assert problem.response().headers["retry-after"] == "1"


def test_an_error_of_ours_is_the_requests_fault_or_the_engines() -> None:
    assert answered(answer_error, ConfigError("votes is 0"))[0].status_code == 422
    response, error = answered(answer_error, EngineError("the endpoint is gone"))
    assert (response.status_code, error["message"]) == (502, "the endpoint is gone")


def test_a_route_that_is_none_is_named_in_bounded_length() -> None:
    response, error = answered(answer_routing, HTTPException(405, "Method Not Allowed", headers={"allow": "GET"}))
    assert (response.status_code, response.headers["allow"]) == (405, "GET")
    assert error["message"] == f"PUT {REQUEST.url.path[:200]}: Method Not Allowed"


def test_what_nobody_foresaw_keeps_its_words_to_itself() -> None:
    response, error = answered(answer_fault, ZeroDivisionError("the key is sk-secret"))
    assert response.status_code == 500
    assert "ZeroDivisionError" in error["message"]
    assert "secret" not in error["message"]
