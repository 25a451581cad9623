"""What a trainer makes of a judge's server that answers nonsense, elsewhere or too much: one status for each sample,
never a number."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from urt_core.adapters.served import MalformedAnswer, ServedJudge, read_rewards
from urt_core.engines import Status
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint
from urt_core.errors import ConfigError

PICTURES = [Image.new("RGB", (8, 8))] * 2


def rewards_of(reply, **settings):
    with ScriptedEndpoint(script=lambda request: reply) as endpoint:
        judge = ServedJudge(endpoint.base_url, max_attempts=1, timeout_s=5, **settings)
        return judge.rewards(texts=["a", "a"], candidates=PICTURES)


def answer(rewards, statuses=("ok", "ok")):
    return json.dumps({"rewards": rewards, "statuses": list(statuses)}).encode()


def test_rewards_are_taken_as_they_are():
    assert rewards_of(Reply(body=answer([0.25, 1]))) == ([0.25, 1.0], ["ok", "ok"])
    assert rewards_of(Reply(body=answer([0.25, float("nan")], ("ok", "alone")))) == ([0.25, None], ["ok", "alone"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"3",
        b"{}",
        b'"rewards"',
        b'{"rewards": null, "statuses": ["ok", "ok"]}',
        b'{"rewards": [0.5, 0.5]}',
        b'{"rewards": {"0": 1, "1": 1}, "statuses": ["ok", "ok"]}',
        b"[" * 100_000,
        b'{"rewards": [0.5, 0.5], "statuses": "ok"}',
        answer([0.5]),
        answer([0.5, 0.5], ("ok",)),
        answer([0.5, 0.5, 0.5], ("ok", "ok", "ok")),
        answer([0.5, 0.5], ("ok", "fine")),
        answer([0.5, 0.5], ("ok", 3)),
        answer([0.5, "0.5"]),
        answer([0.5, None]),
        answer([0.5, True]),
        answer([0.5, float("nan")]),
        answer([0.5, float("inf")]),
        answer([0.5, 1e308]),
        answer([7, -3]),
        b'{"rewards": [0.5, ' + b"9" * 5000 + b'], "statuses": ["ok", "ok"]}',
        b"x" * (17 * 2**20),
    ],
    ids=range(25),
)
def test_an_answer_that_is_none_is_a_status(body):
    assert rewards_of(Reply(body=body)) == ([None, None], ["http_error", "http_error"])


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_token_goes_nowhere_else(code):
    seen = []

    def record(request):
        seen.append(request)
        return Reply(body=answer([1, 1]))

    with ScriptedEndpoint(script=record) as elsewhere:
        reply = Reply(status=code, headers={"Location": elsewhere.base_url.replace("127.0.0.1", "localhost")})
        assert rewards_of(reply, token="secret") == ([None, None], ["http_error", "http_error"])
    assert seen == []


def test_a_token_is_stripped_or_refused_without_being_told():
    seen = []

    def record(request):
        seen.append(request.headers["authorization"])
        return Reply(body=answer([1, 1]))

    with ScriptedEndpoint(script=record) as endpoint:
        ServedJudge(endpoint.base_url, token=" secret\n").rewards(texts=["a", "a"], candidates=PICTURES)
    assert seen == ["Bearer secret"]
    with pytest.raises(ConfigError) as refused:
        ServedJudge("http://127.0.0.1:1", token="secr\u00e9t")
    assert "secr" not in str(refused.value).replace("ServedJudge", "")


@settings(max_examples=1500, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=8)
        | st.sampled_from(["ok", "alone", "timeout"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["rewards", "statuses", "error"]), inner, max_size=3)
            | st.fixed_dictionaries({"rewards": st.lists(inner, max_size=3), "statuses": st.lists(inner, max_size=3)})
        ),
        max_leaves=10,
    ),
    st.integers(1, 2),
)
def test_no_answer_is_more_than_numbers_from_0_to_1_with_their_statuses(answer, number):
    try:
        values, statuses = read_rewards(json.dumps(answer).encode(), number)
    except MalformedAnswer:
        return
    assert len(values) == len(statuses) == number
    for value, status in zip(values, statuses, strict=True):
        assert (value is not None) == (status is Status.OK)
        assert value is None or (isinstance(value, float) and 0 <= value <= 1)
