"""The HTTP engine against an endpoint that misbehaves in every way we know: each prompt ends in exactly one status."""

import asyncio
import base64
import io
import json
import time
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import count

import pytest
from PIL import Image

from urt_core import Dialect, SamplingParams, Status, Task
from urt_core.engines.endpoint.budget import Budget
from urt_core.engines.endpoint.retrying import RetryPolicy
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint, chat_reply
from urt_core.engines.wrappers.cache import CompletionCache
from urt_core.engines.wrappers.cached import CachedEngine
from urt_core.errors import ConfigError
from urt_core.media import MediaPolicy
from urt_core.prompts import Prompt
from urt_core.records import Media, MediaKind, PreferenceRecord
from urt_core.scorer import Scorer

GOOD = "<think>reasons</think>\n<answer>Answer 1 is better</answer>"
# The deadline is far off: only where a test is about time does time decide, and a busy machine fails nothing.
FAST = RetryPolicy(max_attempts=4, first_delay_s=0.001, max_delay_s=0.002, deadline_s=900.0, attempt_timeout_s=600.0)
IMPATIENT = RetryPolicy(max_attempts=4, first_delay_s=0.001, max_delay_s=0.002, attempt_timeout_s=1.0)


def build(endpoint, **changes):
    settings = {"model": "judge", "concurrency": 32, "retry": FAST}
    return OpenAIEngine(base_url=endpoint.base_url, **(settings | changes))


def ask(script, sampling=None, prompt=None, **changes):
    with ScriptedEndpoint(script=script) as endpoint, build(endpoint, **changes) as engine:
        [completions] = engine.generate([prompt or Prompt(parts=("which?",))], sampling or SamplingParams())
        return completions, endpoint.num_requests


def png(colour, size=(8, 8)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def image(colour, size=(8, 8)):
    return Media(kind=MediaKind.IMAGE, files=("a.png",), data=(png(colour, size),))


def test_the_request_holds_every_sampling_parameter_and_the_exact_pixels():
    seen = []

    def script(request):
        seen.append(request)
        return chat_reply("a", "b")

    prompt = Prompt(parts=("Image 1:", image("red"), "Image 2:", image("blue", (16, 8)), "which?"))
    sampling = SamplingParams(temperature=0.7, top_p=0.9, max_tokens=77, seed=5, num_completions=2)
    completions, _ = ask(script, sampling, prompt, policy=MediaPolicy(min_pixels=1), api_key="secret-key")
    assert [c.text for c in completions] == ["a", "b"]
    [request] = seen
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer secret-key"
    body = request.json
    content = body["messages"][0].pop("content")
    expected = {"model": "judge", "messages": [{"role": "user"}], "temperature": 0.7, "top_p": 0.9, "max_tokens": 77}
    assert body == expected | {"n": 2, "seed": 5, "logprobs": False, "stream": False}
    assert [part["type"] for part in content] == ["text", "image_url", "text", "image_url", "text"]
    for part, size, colour in ((content[1], (8, 8), (255, 0, 0)), (content[3], (16, 8), (0, 0, 255))):
        header, data = part["image_url"]["url"].split(",")
        assert header == "data:image/png;base64"
        sent = Image.open(io.BytesIO(base64.b64decode(data)))
        assert (sent.size, sent.getpixel((0, 0))) == (size, colour)


def test_defaults_are_sent_too_and_no_seed_is_invented():
    bodies = []

    def script(request):
        bodies.append(request.json)
        return chat_reply("a")

    ask(script, max_tokens_name="max_completion_tokens", extra_body={"top_k": 1})
    assert {name: bodies[0][name] for name in ("temperature", "top_p", "max_completion_tokens", "n", "top_k")} == {
        "temperature": 0.0,
        "top_p": 1.0,
        "max_completion_tokens": 1024,
        "n": 1,
        "top_k": 1,
    }
    assert "seed" not in bodies[0]
    assert "max_tokens" not in bodies[0]


def test_jpeg_on_request():
    urls = []

    def script(request):
        urls.append(request.json["messages"][0]["content"][0]["image_url"]["url"])
        return chat_reply("a")

    ask(script, prompt=Prompt(parts=(image("red", (64, 64)), "?")), image_format="jpeg")
    assert urls[0].startswith("data:image/jpeg;base64,/9j/")


def test_a_server_that_ignores_n_is_asked_again_with_other_seeds():
    seeds = []

    def script(request):
        seeds.append(request.json["seed"])
        return chat_reply(f"answer {request.json['seed']}")

    completions, requests = ask(script, SamplingParams(temperature=1.0, num_completions=3, seed=10))
    assert [c.text for c in completions] == ["answer 10", "answer 11", "answer 12"]
    assert requests == 3


# Faults

HTML = Reply(headers={"Content-Type": "text/html"}, body=b"<html>502 Bad Gateway</html>")
LATER = Reply(status=429, headers={"Retry-After": "0"}, body=b"{}")


def error(status, message="no", **headers):
    return Reply(status=status, headers=headers, body=json.dumps({"error": {"message": message}}).encode())


def choice(**changes):
    return chat_reply(choices=[{"index": 0, "finish_reason": "stop", "message": {"content": GOOD}} | changes])


# name -> (replies to the attempts of one item, the last one repeated; the status it must end in; attempts)
FAULTS = {
    "healthy": ([chat_reply(GOOD)], "ok", 1),
    "429 with retry-after": ([LATER, chat_reply(GOOD)], "ok", 2),
    "429 without retry-after": ([error(429), error(429), chat_reply(GOOD)], "ok", 3),
    "429 with a date": ([error(429, **{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), chat_reply(GOOD)], "ok", 2),
    "429 with nonsense": ([error(429, **{"Retry-After": "soon"}), chat_reply(GOOD)], "ok", 2),
    "429 for ever": ([error(429)], "http_error", 4),
    "429 quota spent": ([error(429, "insufficient_quota")], "http_error", 1),
    "retry-after beyond the deadline": ([error(429, **{"Retry-After": "3600"})], "http_error", 1),
    "500 once": ([error(500), chat_reply(GOOD)], "ok", 2),
    "502 html": ([Reply(status=502, headers={"Content-Type": "text/html"}, body=b"<html>")], "http_error", 4),
    "503 then 504": ([error(503), error(504), chat_reply(GOOD)], "ok", 3),
    "400 bad request": ([error(400)], "http_error", 1),
    "400 content filter": ([error(400, "blocked by content_filter")], "refused", 1),
    "401 wrong key": ([error(401)], "http_error", 1),
    "404 no such model": ([error(404)], "http_error", 1),
    "reset before the answer": ([Reply(sent_bytes=0, then="reset"), chat_reply(GOOD)], "ok", 2),
    "reset inside the answer": (
        [Reply(body=chat_reply(GOOD).body, sent_bytes=40, then="reset"), chat_reply(GOOD)],
        "ok",
        2,
    ),
    "closed inside the answer": ([Reply(body=chat_reply(GOOD).body, sent_bytes=40, then="close")], "http_error", 4),
    "reset for ever": ([Reply(sent_bytes=0, then="reset")], "http_error", 4),
    "closed after each answer": ([Reply(body=chat_reply(GOOD).body, then="close")], "ok", 1),
    "half json": ([Reply(body=chat_reply(GOOD).body[:60])], "http_error", 4),
    "json list": ([Reply(body=b"[]")], "http_error", 4),
    "html with 200": ([HTML, chat_reply(GOOD)], "ok", 2),
    "empty body": ([Reply()], "http_error", 4),
    "not utf-8": ([Reply(body=b"\xff\xfe{}")], "http_error", 4),
    "error with 200": ([Reply(body=b'{"error": {"message": "overloaded"}}'), chat_reply(GOOD)], "ok", 2),
    "empty choices": ([chat_reply(choices=[])], "http_error", 4),
    "choice without message": ([choice(message=None)], "http_error", 4),
    "aborted": ([choice(finish_reason="abort"), chat_reply(GOOD)], "ok", 2),
    "length stop": ([chat_reply(GOOD, finish_reason="length")], "truncated", 1),
    "refusal": ([choice(message={"content": None, "refusal": "I can't help with that"})], "refused", 1),
    "content filter": ([chat_reply("", finish_reason="content_filter")], "refused", 1),
    "null content": ([choice(message={"content": None})], "parse_error", 1),
    "content in parts": ([choice(message={"content": [{"type": "text", "text": GOOD}]})], "ok", 1),
    "no verdict": ([chat_reply("Both have merits.")], "parse_error", 1),
    "wrong model": ([chat_reply(GOOD, model="another-7b")], "http_error", 1),
    "dated model": ([chat_reply(GOOD, model="judge-2026-01-01")], "ok", 1),
    "no usage": ([chat_reply(GOOD, usage=None)], "ok", 1),
}

TIMEOUTS = {
    "no first byte": ([Reply(delay_s=900)], "timeout", 4),
    "hangs inside the answer": ([Reply(body=chat_reply(GOOD).body, sent_bytes=40, then="hang")], "timeout", 4),
    "slow once": ([Reply(delay_s=900), chat_reply(GOOD)], "ok", 2),
}


class FaultyJudge:
    """Plays a scenario per record, by the name that stands in its question."""

    def __init__(self, faults):
        self.faults = faults
        self.attempts = Counter()

    def __call__(self, request):
        item = request.text.split("ITEM[")[1].split("]")[0]
        replies, _, _ = self.faults[item.split("/")[0]]
        self.attempts[item] += 1
        return replies[min(self.attempts[item], len(replies)) - 1]


def fault_records(faults, items):
    media, number = image("red"), count()
    for name in faults:
        for item in range(items):
            yield PreferenceRecord(
                key=f"item-{next(number)}",
                task=Task.IMAGE_UNDERSTANDING,
                text=f"ITEM[{name}/{item}]",
                first="a",
                second="b",
                media=media,
            )


# All scripts beside each other with a few items of each, and each by itself with 200.
RUNS = [
    pytest.param(FAULTS, FAST, 3, id="faults-together"),
    pytest.param(TIMEOUTS, IMPATIENT, 3, id="timeouts-together"),
    *(
        pytest.param({name: faults[name]}, retry, 200, id=name.replace(" ", "-"), marks=pytest.mark.slow)
        for faults, retry in ((FAULTS, FAST), (TIMEOUTS, IMPATIENT))
        for name in faults
    ),
]


@pytest.mark.parametrize(("faults", "retry", "items"), RUNS)
def test_every_fault_ends_in_one_status_and_a_second_run_pays_nothing_twice(tmp_path, faults, retry, items):
    judge = FaultyJudge(faults)
    names = [name for name in faults for _ in range(items)]
    cache = CompletionCache(tmp_path / "c.sqlite")
    with ScriptedEndpoint(script=judge) as endpoint:

        def run(retry):
            with build(endpoint, concurrency=64, retry=retry) as engine:
                scorer = Scorer(engine=CachedEngine(engine, cache=cache), dialect=Dialect.V1, orders="given")
                return list(scorer.compare_batch(fault_records(faults, items)))

        comparisons = run(retry)
        assert [c.key for c in comparisons] == [f"item-{index}" for index in range(len(names))]
        found = defaultdict(set)
        for name, comparison in zip(names, comparisons, strict=True):
            found[name].add(str(comparison.status))
            assert (comparison.preference is None) == (comparison.status is not Status.OK)
            assert comparison.detail or comparison.status is Status.OK
        assert found == {name: {status} for name, (_, status, _) in faults.items()}
        attempts = {name: {judge.attempts[f"{name}/{item}"] for item in range(items)} for name in faults}
        if retry is FAST:  # how many time-outs there are depends on the machine
            assert attempts == {name: {expected} for name, (_, _, expected) in faults.items()}

        # A fault that lasted to the end of the first run is still there at the first attempt of the second.
        again = run(replace(retry, max_attempts=1))
        paid = {"ok", "truncated", "parse_error"}
        for name, (_, status, _) in faults.items():
            if status in paid:
                assert {judge.attempts[f"{name}/{item}"] for item in range(items)} == attempts[name]
        assert [c.status for c in again] == [c.status for c in comparisons]


# Limits


def test_concurrency_is_bounded():
    with ScriptedEndpoint(script=lambda request: Reply(body=chat_reply("a").body, delay_s=0.03)) as endpoint:
        with build(endpoint, concurrency=5, retry=RetryPolicy()) as engine:
            engine.generate([Prompt(parts=(f"{index}",)) for index in range(20)], SamplingParams())
        assert (endpoint.num_connections, endpoint.num_requests) == (5, 20)


def test_the_deadline_counts_waiting():
    slow = RetryPolicy(max_attempts=50, first_delay_s=0.1, max_delay_s=0.1, deadline_s=0.5, attempt_timeout_s=0.2)
    [completion], requests = ask(lambda request: Reply(delay_s=900), retry=slow)
    assert completion.finish_reason == "timeout"
    assert requests <= 3


def test_the_token_budget_stops_after_what_is_in_flight():
    budget = Budget(max_tokens=1000)
    with ScriptedEndpoint(script=lambda request: chat_reply("a" * 40, prompt_tokens=90)) as endpoint:
        with build(endpoint, concurrency=4, budget=budget) as engine:
            groups = engine.generate([Prompt(parts=(f"{index}",)) for index in range(50)], SamplingParams())
        assert endpoint.num_requests == budget.num_requests <= 10 + 3
    reasons = Counter(str(group[0].finish_reason) for group in groups)
    assert reasons["stop"] + reasons["budget"] == 50
    assert 10 <= reasons["stop"] <= 13
    assert "Budget.max_tokens" in groups[-1][0].detail


def test_the_money_budget():
    budget = Budget(max_cost=0.01, prompt_price=100.0, completion_price=0.0)
    [completion], _ = ask(lambda request: chat_reply("a", prompt_tokens=100), budget=budget)
    assert completion.text == "a"
    assert budget.cost == pytest.approx(0.01)
    [completion], requests = ask(lambda request: chat_reply("a"), budget=budget)
    assert (completion.finish_reason, requests) == ("budget", 0)
    with pytest.raises(ConfigError, match="both prices are 0"):
        Budget(max_cost=1.0)


def test_keys_do_not_reach_the_details():
    leak = error(401, "Incorrect API key provided: sk-canary-123")
    [completion], _ = ask(lambda request: leak, api_key="sk-canary-123")
    assert "canary" not in completion.detail
    assert "HTTP 401" in completion.detail


def test_nobody_is_listening():
    with ScriptedEndpoint(script=lambda request: chat_reply("a")) as endpoint:
        engine = build(endpoint)
    with engine:
        [[completion]] = engine.generate([Prompt(parts=("?",))], SamplingParams())
    assert completion.finish_reason == "http_error"
    assert "no connection" in completion.detail


def test_bad_media_is_not_sent():
    broken = Prompt(parts=(Media(kind=MediaKind.IMAGE, files=("a.png",), data=(b"x",)), "?"))
    [completion], requests = ask(lambda request: chat_reply("a"), prompt=broken)
    assert (completion.finish_reason, requests) == ("bad_media", 0)


def test_one_engine_serves_several_loops():
    with ScriptedEndpoint(script=lambda request: chat_reply("a")) as endpoint:
        engine = build(endpoint)

        async def main():
            async with engine:
                return await engine.agenerate([Prompt(parts=("?",))], SamplingParams())

        texts = [asyncio.run(main())[0][0].text for _ in range(3)]
        with engine:
            texts.append(engine.generate([Prompt(parts=("?",))], SamplingParams())[0][0].text)
    assert texts == ["a"] * 4


def test_who_is_cancelled_leaves_no_request_behind():
    reply = Reply(body=chat_reply("a").body, delay_s=0.5)
    with ScriptedEndpoint(script=lambda request: reply) as endpoint:

        async def leave():
            async with build(endpoint, concurrency=8) as engine:
                asking = asyncio.ensure_future(
                    engine.agenerate([Prompt(parts=(f"{index}",)) for index in range(40)], SamplingParams())
                )
                while endpoint.num_requests < 8:
                    await asyncio.sleep(0.01)
                asking.cancel()
                await asyncio.wait([asking])
                await asyncio.sleep(0.8)

        asyncio.run(leave())
        assert (endpoint.num_requests, endpoint.num_abandoned) == (8, 8)


def test_who_stops_reading_results_stops_the_requests():
    reply = Reply(body=chat_reply(GOOD).body, delay_s=0.2)
    with ScriptedEndpoint(script=lambda request: reply) as endpoint, build(endpoint, concurrency=4) as engine:
        results = Scorer(engine=engine, dialect=Dialect.V1, orders="given").compare_batch(fault_records({"a": 0}, 60))
        next(results)
        del results  # nobody reads on
        time.sleep(0.1)
        sent = endpoint.num_requests
        time.sleep(0.5)
        assert endpoint.num_requests == sent < 20
