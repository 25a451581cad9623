"""What a client is told when it gets no result: one form for every route, OpenAI's, so that its clients show the
reason."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from urt_core.errors import EngineError, UrtError

MAX_MESSAGE = 2000
KINDS = {401: "authentication_error", 404: "not_found_error", 429: "insufficient_quota", 504: "timeout"}


class Problem(Exception):
    """A request that gets an error: Problem(400, "n is 64, allowed are at most 32", param="n")."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str | None = None,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
        kind = kind or KINDS.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
        self.error = {"message": message[:MAX_MESSAGE], "type": kind, "param": param, "code": code}

    @property
    def body(self) -> bytes:
        return json.dumps({"error": self.error}).encode()

    def response(self) -> Response:
        return Response(self.body, status_code=self.status, headers=self.headers, media_type="application/json")


async def answer_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return problem.response()


async def answer_error(request: Request, error: Exception) -> Response:
    """An error of ours says what to do: the request is at fault, or the engine behind it."""
    return Problem(502 if isinstance(error, EngineError) else 422, str(error)).response()


async def answer_routing(request: Request, error: Exception) -> Response:
    """No such route, or not by this method."""
    assert isinstance(error, HTTPException)
    text = f"{request.method} {request.url.path[:200]}: {error.detail}"
    return Problem(error.status_code, text, headers=error.headers).response()


async def answer_fault(request: Request, error: Exception) -> Response:
    """What nobody foresaw is in the server's log with its traceback; a client learns no more than its kind."""
    return Problem(500, f"the server failed on this request ({type(error).__name__}); its log says why").response()


HANDLERS: dict[Any, Any] = {
    Problem: answer_problem,
    UrtError: answer_error,
    HTTPException: answer_routing,
    Exception: answer_fault,
}
