"""A reward that waits on another judge over HTTP: many at a time, and NaN where the other judge can't say."""

import math
import time

import pytest

from tests.examples.test_length_reward import READABLE, sample
from urt_core.engines.scripted_endpoint import Reply, Request, ScriptedEndpoint, chat_reply
from urt_core.rewards import Rewards

DELAY_S = 0.2


def answer(request: Request) -> Reply:
    """What a judge of judgements might say; the text to be read tells which."""
    text = request.json["messages"][0]["content"]
    if "broken" in text:
        return Reply(status=400, body=b"{}")
    return chat_reply("All of them: 3" if "good" in text else "I am not sure." if "odd" in text else "1")


def delayed(request: Request) -> Reply:
    reply = answer(request)
    return Reply(status=reply.status, body=reply.body, delay_s=DELAY_S)


def test_the_other_judge_is_asked_for_all_at_once(copied, monkeypatch: pytest.MonkeyPatch) -> None:
    copied("rubric_reward")
    rewards = Rewards.load({"accuracy": 1.0, "rubric_reward:follows_rubric": 0.5})
    texts = ["good", "poor", "odd", "broken", "good", "good", "poor", "good"]
    samples = [sample(READABLE.replace("red", text), 9) for text in texts] + [sample("I can't tell.", 9)]
    with ScriptedEndpoint(script=delayed) as endpoint:
        monkeypatch.setenv("RUBRIC_URL", endpoint.base_url)
        monkeypatch.setenv("RUBRIC_MODEL", "judge")
        started = time.monotonic()
        found = [reward.parts["rubric_reward:follows_rubric"] for reward in rewards(samples)]
        seconds = time.monotonic() - started
        assert endpoint.num_requests == len(texts), "what can't be read is asked of nobody"
    expected = {"good": 1.0, "poor": 1 / 3, "odd": math.nan, "broken": math.nan}
    assert found == pytest.approx([*(expected[text] for text in texts), 0.0], nan_ok=True)
    assert seconds < 0.6 * DELAY_S * len(texts)
