"""One judge on several servers: who answers, what happens when one dies, and what is said when none is left."""

import json

import pytest

from urt_core import Prompt, SamplingParams
from urt_core.engines import FinishReason, traits
from urt_core.engines.scripted_endpoint import Reply, Request, ScriptedEndpoint, chat_reply
from urt_core.engines.servers import JudgeServer, VLLMServers
from urt_core.errors import ConfigError, EngineError
from urt_core.media import MediaPolicy

MODELS = Reply(body=json.dumps({"object": "list", "data": [{"id": "judge"}]}).encode())


class Served:
    """A vLLM server that can be switched off and on."""

    def __init__(self, name: str) -> None:
        self.name, self.is_up, self.num_judged = name, True, 0

    def __call__(self, request: Request) -> Reply:
        if not self.is_up:
            return Reply(status=503, body=b"no engine")
        if request.path == "/health":
            return Reply()
        if request.path == "/v1/models":
            return MODELS
        self.num_judged += 1
        if "too long" in request.text:
            return Reply(status=400, body=b'{"error": {"message": "not today"}}')
        return chat_reply(f"{self.name}: Image 1 is better.")


@pytest.fixture
def served():
    scripts = [Served("one"), Served("two")]
    with ScriptedEndpoint(script=scripts[0]) as first, ScriptedEndpoint(script=scripts[1]) as second:
        yield scripts, [endpoint.base_url.removesuffix("/v1") for endpoint in (first, second)]


def opened(addresses: list[str], **settings) -> VLLMServers:
    return VLLMServers.open(addresses, model="judge", policy=MediaPolicy(), **settings)


def ask(engine: VLLMServers, number: int):
    prompts = [Prompt(parts=(f"Which? ({n})",)) for n in range(number)]
    return [group[0] for group in engine.generate(prompts, SamplingParams())]


def test_both_share_the_work(served):
    (one, two), addresses = served
    engine = opened(addresses, in_flight=2)
    assert traits(engine).concurrency == 4
    assert traits(engine).is_concurrent
    assert {answer.finish_reason for answer in ask(engine, 40)} == {FinishReason.STOP}
    assert one.num_judged + two.num_judged == 40
    assert min(one.num_judged, two.num_judged) > 5
    engine.close()


def test_a_server_that_dies_is_left_out_and_taken_back_when_it_is_healthy(served, monkeypatch):
    (_, two), addresses = served
    engine = opened(addresses)
    engine.pool.pause_s = 0.0
    two.is_up = False
    answers = ask(engine, 10)
    assert [answer.text[:4] for answer in answers] == ["one:"] * 10
    assert [str(server) for server in engine.pool.failures] == [addresses[1]]
    monkeypatch.setattr("urt_core.engines.servers.LOOK_AGAIN_S", 0.0)
    two.is_up = True
    before = two.num_judged
    ask(engine, 20)
    assert not engine.pool.failures
    assert two.num_judged > before
    engine.close()


def test_where_no_server_is_left_each_question_is_a_failure_that_says_so(served):
    (one, two), addresses = served
    engine = opened(addresses)
    engine.pool.pause_s = 0.0
    one.is_up = two.is_up = False
    answers = ask(engine, 3)
    assert {answer.finish_reason for answer in answers} == {FinishReason.HTTP_ERROR}
    assert "no vLLM server is left" in answers[0].detail
    engine.close()


def test_a_question_that_every_server_refuses_costs_no_server(served):
    _, addresses = served
    engine = opened(addresses)
    engine.pool.pause_s = 0.0
    [[refused]] = engine.generate([Prompt(parts=("too long",))], SamplingParams())
    assert refused.finish_reason is FinishReason.HTTP_ERROR
    assert "not today" in refused.detail
    assert len(engine.pool.usable) == 2
    engine.close()


def test_every_server_has_to_be_there_and_serve_this_judge_before_the_first_question(served):
    (_, two), addresses = served
    with pytest.raises(EngineError, match=r"2 of 2 vLLM servers .*serves judge, and not another"):
        VLLMServers.open(addresses, model="another", policy=MediaPolicy())
    two.is_up = False
    with pytest.raises(EngineError, match=r"1 of 2 vLLM servers .*HTTP 503"):
        opened(addresses)
    with pytest.raises(ConfigError, match="no vLLM server is named"):
        opened([])
    with pytest.raises(ConfigError, match=r"vllm_servers is http://gpu-1:8000/v1; allowed: different addresses"):
        opened(["http://gpu-1:8000/v1"])
    assert str(JudgeServer(addresses[0] + "/", model="judge", policy=MediaPolicy())) == addresses[0]
