"""The endpoint that answers from a script does what its replies say, faults included."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest

from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint, chat_reply


@contextmanager
def connected(endpoint: ScriptedEndpoint) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection(urlsplit(endpoint.base_url).netloc, timeout=10)) as client:
        yield client


def post(client: http.client.HTTPConnection, body: object = None) -> tuple[int, bytes]:
    client.request("POST", "/v1/chat/completions", json.dumps(body), {"X-Mark": "7"})
    answer = client.getresponse()
    return answer.status, answer.read()


def test_requests_reach_the_script_and_are_numbered_over_one_connection() -> None:
    seen = []

    def script(request):
        seen.append(request)
        return Reply(status=200 + request.number, body=b"ok", headers={"Content-Type": "text/plain"})

    with ScriptedEndpoint(script=script) as endpoint, connected(endpoint) as client:
        assert [post(client, {"n": n}) for n in range(3)] == [(201, b"ok"), (202, b"ok"), (203, b"ok")]
        assert (endpoint.num_requests, endpoint.num_connections) == (3, 1)
    assert [request.json for request in seen] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert (seen[0].method, seen[0].path, seen[0].headers["x-mark"]) == ("POST", "/v1/chat/completions", "7")


def test_the_text_of_a_chat_request_is_its_text_parts() -> None:
    content = [{"type": "text", "text": "a "}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "car"}]
    texts = []

    def script(request):
        texts.append(request.text)
        return chat_reply("yes", "no", prompt_tokens=3)

    with ScriptedEndpoint(script=script) as endpoint, connected(endpoint) as client:
        status, body = post(client, {"messages": [{"content": content}]})
    answer = json.loads(body)
    assert (status, texts) == (200, ["a car"])
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["yes", "no"]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 1}


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(body=b"0123456789", sent_bytes=4), http.client.IncompleteRead),
        (Reply(body=b"0123456789", sent_bytes=0), http.client.RemoteDisconnected),
        (Reply(body=b"0123456789", sent_bytes=0, then="reset"), ConnectionResetError),
    ],
    ids=["cut off", "nothing", "reset"],
)
def test_a_fault_is_the_one_that_was_asked_for(reply: Reply, error: type[Exception]) -> None:
    with ScriptedEndpoint(script=lambda request: reply) as endpoint, connected(endpoint) as client:
        with pytest.raises(error):
            post(client)


def test_an_endpoint_that_hangs_ends_with_its_block() -> None:
    with ScriptedEndpoint(script=lambda request: Reply(body=b"x", then="hang")) as endpoint:
        with connected(endpoint) as client:
            assert post(client) == (200, b"x")
        left = endpoint
    assert not left._thread.is_alive()


def test_whoever_left_before_a_delayed_reply_is_counted() -> None:
    with ScriptedEndpoint(script=lambda request: Reply(body=b"x", delay_s=0.2)) as endpoint:
        with connected(endpoint) as client:
            client.request("POST", "/", "{}")
        with connected(endpoint) as other:
            assert post(other) == (200, b"x")
        assert endpoint.num_abandoned == 1
