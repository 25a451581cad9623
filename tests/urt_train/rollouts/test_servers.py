"""What one vLLM server says, and what its refusals become."""

import asyncio
import json

import pytest

from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint
from urt_core.errors import ServerError
from urt_train.rollouts.servers import VLLMServer


def call(reply: Reply, path: str = "/v1/models", **settings):
    with ScriptedEndpoint(script=lambda request: reply) as endpoint:
        server = VLLMServer(endpoint.base_url.removesuffix("/v1"), **settings)
        return asyncio.run(server.call("GET", path))


def test_an_answer_is_its_object_and_an_empty_one_is_empty():
    assert call(Reply(body=b'{"data": [1]}')) == {"data": [1]}
    assert call(Reply(body=b"")) == {}


@pytest.mark.parametrize(
    ("reply", "path", "words", "is_final"),
    [
        (Reply(status=503, body=b"busy"), "/v1/models", "HTTP 503: busy", False),
        (Reply(status=400, body=b"too long"), "/v1/models", "HTTP 400: too long", True),
        (Reply(status=401, body=b"who?"), "/pause", "VLLM_API_KEY", True),
        (Reply(status=404, body=b""), "/pause", "VLLM_SERVER_DEV_MODE=1", True),
        (Reply(body=b"<html>"), "/v1/models", "not JSON", False),
        (Reply(body=json.dumps([1]).encode()), "/v1/models", "JSON, but no object", False),
    ],
)
def test_whatever_is_no_object_is_a_server_error_that_says_whether_another_may_do_better(reply, path, words, is_final):
    with pytest.raises(ServerError, match=words) as error:
        call(reply, path)
    assert (error.value.is_final, error.value.is_lost) == (is_final, False)


def test_a_server_that_is_not_there_is_lost():
    with ScriptedEndpoint(script=lambda request: Reply()) as endpoint:
        address = endpoint.base_url.removesuffix("/v1")
    with pytest.raises(ServerError) as error:
        asyncio.run(VLLMServer(address).check_health())
    assert error.value.is_lost
