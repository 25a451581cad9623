"""More ways in which endpoints misbehave: each request ends in one status, each answer that came is paid for, no secret gets out."""

import gzip
import json
from collections import Counter
from typing import Any

import openai
import pytest

from urt_core import Dialect, Media, MediaKind, PreferenceRecord, Scorer, Task
from urt_core.engines.endpoint import transport
from urt_core.engines.endpoint.budget import Budget
from urt_core.engines.endpoint.retrying import RetryPolicy
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint, chat_reply
from urt_core.streaming import BACKGROUND

GOOD = "Answer 1 is better."
KEY = "sk-canary-0123456789"
FAST = RetryPolicy(max_attempts=3, first_delay_s=0.001, max_delay_s=0.002, attempt_timeout_s=60.0)
GIF = bytes.fromhex("47494638376101000100f00000ff00000000002c00000000010001000002024401003b")
PAID = {"prompt_tokens": 600, "completion_tokens": 150}


def choice(content: object = GOOD, **changes):
    message = {"content": content} | changes.pop("message", {})
    return chat_reply(choices=[{"index": 0, "finish_reason": "stop", "message": message} | changes], usage=PAID)


def refusal(status, message, **headers):
    return Reply(status=status, headers=headers, body=json.dumps({"error": {"message": message}}).encode())


def logprob(number):
    return choice(logprobs={"content": [{"token": "Answer 1", "logprob": number}]})


def packed(reply):
    return Reply(
        headers={"Content-Encoding": "gzip", "Content-Type": "application/json"}, body=gzip.compress(reply.body)
    )


STREAM = "".join(
    f"data: {json.dumps({'model': 'judge', 'choices': [{'index': 0, 'delta': {'content': part}, 'finish_reason': end}], 'usage': PAID})}\n\n"
    for part, end in (("Answer 1 is ", None), ("better.", None), ("", "stop"))
)
SSE = {"Content-Type": "text/event-stream"}

# name -> (replies to the attempts, the last one repeated; status; requests; answers that were paid for)
FAULTS = {
    "finish null": ([choice(finish_reason=None)], "ok", 1, 1),
    "finish in capitals": ([choice(finish_reason="STOP")], "ok", 1, 1),
    "finish end_turn": ([choice(finish_reason="end_turn")], "ok", 1, 1),
    "finish max_tokens": ([choice(finish_reason="max_tokens")], "truncated", 1, 1),
    "finish tool_calls": ([choice(finish_reason="tool_calls")], "http_error", 1, 1),
    "finish unknown": ([choice(finish_reason="why not")], "http_error", 1, 1),
    "finish an object": ([choice(finish_reason={})], "http_error", 1, 1),
    "aborted for ever": ([choice(finish_reason="abort")], "http_error", 3, 3),
    "safety": ([choice(finish_reason="SAFETY")], "refused", 1, 1),
    "blocked without message": (
        [chat_reply(choices=[{"finish_reason": "content_filter"}], usage=PAID)],
        "refused",
        1,
        1,
    ),
    "paid and without choices": ([chat_reply(choices=[], usage=PAID), choice()], "ok", 2, 2),
    "an error that was paid": ([chat_reply(choices=None, error={"message": "late"}, usage=PAID), choice()], "ok", 2, 2),
    "wrong model": ([chat_reply(GOOD, model="another", usage=PAID)], "http_error", 1, 1),
    "no model": ([chat_reply(GOOD, model="", usage=PAID)], "ok", 1, 1),
    "tagged model": ([chat_reply(GOOD, model="judge:latest", usage=PAID)], "ok", 1, 1),
    "content a number": ([choice(5)], "http_error", 1, 1),
    "content a part with a number": ([choice([{"type": "text", "text": 5}])], "http_error", 1, 1),
    "half an emoji": ([choice(f"\ud83d {GOOD}")], "parse_error", 1, 1),
    "half an emoji in a refusal": ([choice(message={"refusal": "no \ud83d"})], "refused", 1, 1),
    "log-prob NaN": ([logprob(float("nan"))], "http_error", 1, 1),
    "log-prob above 0": ([logprob(5)], "http_error", 1, 1),
    "log-prob of 400 digits": ([logprob(10**400)], "http_error", 1, 1),
    "logprobs a string": ([choice(logprobs="x")], "http_error", 1, 1),
    "reasoning apart": ([choice(message={"reasoning_content": "Answer 2 is better?"})], "ok", 1, 1),
    "all in the reasoning": ([choice(None, message={"reasoning": "well"})], "parse_error", 1, 1),
    "a stream": ([Reply(headers=SSE, body=STREAM.encode())], "ok", 1, 1),
    "a stream that breaks off": ([Reply(headers=SSE, body=STREAM.encode()[:-120])], "truncated", 1, 1),
    "gzip": ([packed(choice())], "ok", 1, 1),
    "no gzip though it says so": ([Reply(headers={"Content-Encoding": "gzip"}, body=b"x" * 99)], "http_error", 3, 0),
    "a byte order mark": ([Reply(body=b"\xef\xbb\xbf" + choice().body)], "ok", 1, 1),
    "deep": ([Reply(body=b"[" * 20_000 + b"]" * 20_000)], "http_error", 3, 0),
    "5,000 digits": ([Reply(body=b'{"choices": ' + b"7" * 5000 + b"}")], "http_error", 3, 0),
    "301": ([refusal(301, "moved", Location="http://localhost:9/v1")], "http_error", 1, 0),
    "307 to nowhere": ([refusal(307, "moved")], "http_error", 1, 0),
    "413": ([refusal(413, "too large")], "http_error", 1, 0),
    "key in an error": ([refusal(401, f"Incorrect API key provided: {KEY}")], "http_error", 1, 0),
    "key in an answer": ([choice(f"{KEY} says\n{GOOD}")], "ok", 1, 1),
    "key in an answer that is none": ([Reply(body=f"<html>Bearer {KEY}</html>".encode())], "http_error", 3, 0),
    "key in a redirect": ([refusal(302, "", Location=f"http://u:{KEY}@h/?key={KEY}")], "http_error", 1, 0),
    "password of a proxy": ([refusal(502, f"upstream https://me:{KEY}@inner/")], "http_error", 3, 0),
    "529 then fine": ([refusal(529, "overloaded"), choice()], "ok", 2, 1),
}


def openai_client(endpoint):
    """One of the caller's own, that would retry by itself."""
    return openai.AsyncOpenAI(base_url=endpoint.base_url, api_key=KEY, max_retries=5)


@pytest.mark.parametrize("make_client", [None, openai_client])
@pytest.mark.parametrize("name", FAULTS)
def test_one_status_each_answer_paid_and_no_secret(name, make_client):
    replies, status, num_requests, num_paid = FAULTS[name]
    seen = Counter()

    def script(request):
        seen["requests"] += 1
        return replies[min(seen["requests"], len(replies)) - 1]

    budget = Budget(max_tokens=10**9)
    record = PreferenceRecord(
        key="pair",
        task=Task.IMAGE_UNDERSTANDING,
        text="?",
        first="a",
        second="b",
        media=Media(kind=MediaKind.IMAGE, files=("a.gif",), data=(GIF,)),
    )
    with ScriptedEndpoint(script=script) as endpoint:
        client = make_client(endpoint) if make_client else None
        settings = {"api_key": KEY, "retry": FAST, "budget": budget, "client": client}
        with OpenAIEngine(base_url=endpoint.base_url, model="judge", **settings) as engine:
            scorer = Scorer(engine=engine, dialect=Dialect.DIRECT, orders="given", probability="logprob")
            [comparison] = scorer.compare_batch([record])
        if client:
            BACKGROUND.run(client.close())  # it is the caller's
    line = json.dumps(comparison.to_json(), allow_nan=False, ensure_ascii=False)
    line.encode()
    assert KEY not in line
    assert (comparison.status, seen["requests"]) == (status, num_requests), comparison.detail
    assert (comparison.preference is not None) == (status == "ok")
    assert comparison.detail or status == "ok"
    assert budget.num_requests == num_paid
    assert comparison.usage == budget.spent
    assert budget.spent.prompt_tokens + budget.spent.completion_tokens == 750 * num_paid


@pytest.mark.parametrize("name", [name for name in FAULTS if "log" in name])
def test_log_probs_that_nobody_asked_for_are_not_looked_at(name):
    comparison, num_requests = asked(lambda request: FAULTS[name][0][0])
    assert (comparison.status, num_requests) == ("ok", 1)
    tops = [{"token": "x", "logprob": float("nan")}]
    token = {"token": GOOD, "logprob": -0.5, "top_logprobs": tops}
    comparison, _ = asked(lambda request: choice(logprobs={"content": [token]}), probability="logprob")
    assert comparison.status == "ok"


def asked(script, probability="votes", **settings: Any):
    with ScriptedEndpoint(script=script) as endpoint:
        names = {"base_url": endpoint.base_url, "model": "judge", "retry": FAST} | settings
        with OpenAIEngine(**names) as engine:
            scorer = Scorer(engine=engine, dialect=Dialect.DIRECT, orders="given", probability=probability)
            comparison = scorer.compare(task="image_understanding", text="?", first="a", second="b", media=GIF)
        return comparison, endpoint.num_requests


@pytest.mark.parametrize("pack", [lambda body: Reply(body=body), lambda body: packed(Reply(body=body))])
def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch, pack):
    monkeypatch.setattr(transport.HTTPConnections.__init__, "__kwdefaults__", {"proxy": None, "max_bytes": 1000})
    comparison, _ = asked(lambda request: pack(b" " * 200_000))
    assert comparison.status == "http_error"
    assert "longer than 1,000 bytes" in comparison.detail


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_is_sent_to_where_a_redirect_points(status):
    with ScriptedEndpoint(script=lambda request: chat_reply(GOOD)) as elsewhere:
        to = elsewhere.base_url.replace("127.0.0.1", "localhost") + "/chat/completions"
        comparison, num_requests = asked(lambda request: refusal(status, "", Location=to), api_key=KEY)
        assert elsewhere.num_requests == 0
    assert (comparison.status, num_requests) == ("http_error", 1)
    assert to in comparison.detail


def test_loopback_is_never_reached_through_a_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert asked(lambda request: chat_reply(GOOD))[0].status == "ok"


def test_a_proxy_that_does_not_answer_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://me:{KEY}@127.0.0.1:1")
    comparison, _ = asked(lambda request: chat_reply(GOOD), base_url="http://judge.example/v1")
    assert comparison.status == "http_error"
    assert "through the proxy http://***@127.0.0.1:1" in comparison.detail
    assert KEY not in json.dumps(comparison.to_json())


def test_an_address_without_v1_gets_a_hint():
    with ScriptedEndpoint(script=lambda request: Reply(status=404, body=b"Not Found")) as endpoint:
        comparison, _ = asked(lambda request: chat_reply(GOOD), base_url=endpoint.base_url.removesuffix("/v1"))
    assert "does base_url lack its /v1?" in comparison.detail


@pytest.mark.parametrize(
    ("field", "message", "helps"),
    [
        ("max_tokens", "'max_tokens' is not supported; send 'max_completion_tokens'", "openai-reasoning"),
        ("temperature", "'temperature' may only be 1", "leave_out=['temperature']"),
        ("top_p", "give `temperature` or `top_p`, not both", "leave_out=['top_p']"),
        ("logprobs", "unknown field: logprobs", "leave_out=['logprobs']"),
    ],
)
def test_a_refusal_names_the_setting_that_helps(field, message, helps):
    def script(request):
        return refusal(400, message) if field in request.json else chat_reply(GOOD)

    comparison, num_requests = asked(script)
    assert (comparison.status, num_requests) == ("http_error", 1)
    assert helps in comparison.detail
    mended: Any = {"profile": "openai-reasoning"} if field == "max_tokens" else {"leave_out": [field]}
    assert asked(script, **mended)[0].status == "ok"


def test_n_is_refused_once_and_not_asked_for_again():
    seeds = []

    def script(request):
        sent = request.json
        if sent["n"] > 1:
            return refusal(400, "n must be 1")
        seeds.append(sent.get("seed"))
        return chat_reply(GOOD)

    with ScriptedEndpoint(script=script) as endpoint:
        with OpenAIEngine(base_url=endpoint.base_url, model="judge", retry=FAST) as engine:
            scorer = Scorer(engine=engine, dialect=Dialect.DIRECT, orders="given", votes=3)
            for expected in (4, 7):
                comparison = scorer.compare(task="image_understanding", text="?", first="a", second="b", media=GIF)
                assert (comparison.status, len(comparison.votes), endpoint.num_requests) == ("ok", 3, expected)
