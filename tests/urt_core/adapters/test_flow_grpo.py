"""flow_grpo: `multi_score(device, score_dict)` -> `fn(images, prompts, metadata, only_strict)` -> (lists by name,
{})."""

import math
import threading

import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image

from urt_core import Dialect, Scorer
from urt_core.adapters import ReferencePool, flow_grpo
from urt_core.adapters.served import ServedJudge
from urt_core.engines.scripted import ScriptedEngine
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint
from urt_core.errors import ConfigError, EngineError
from urt_core.server import ServerSettings, create_app

PROMPTS = ["a", "a", "b", "b"]


def nchw(*shades):
    """flow_grpo hands over a float tensor in 0..1, NCHW."""
    return torch.stack(
        [torch.full((3, 16, 16), shade / 255) * torch.tensor([1, 0, 0])[:, None, None] for shade in shades]
    )


def theirs(device, score_dict):
    """The shape of flow_grpo's own `multi_score`, with one reward."""
    assert set(score_dict) == {"brightness"}

    def fn(images, prompts, metadata, only_strict=True):
        scores = [float(image.mean()) for image in images]
        return {"brightness": scores, "avg": [score_dict["brightness"] * score for score in scores]}, {}

    return fn


def test_win_rates_within_each_prompt(scorer):
    fn = flow_grpo.extend_multi_score(theirs, urt=flow_grpo.win_rate(scorer))("cpu", {"urt": 1.0})
    details, extra = fn(nchw(10, 200, 90, 30), PROMPTS, [{}] * 4)
    assert details == {"urt": [0.0, 1.0, 1.0, 0.0], "avg": [0.0, 1.0, 1.0, 0.0]}
    assert extra == {}


def test_beside_the_trainers_own_rewards(scorer):
    fn = flow_grpo.extend_multi_score(theirs, urt=flow_grpo.win_rate(scorer))("cpu", {"urt": 2.0, "brightness": 0.5})
    images = nchw(10, 200, 90, 30)
    details, _ = fn(images, PROMPTS, [{}] * 4, only_strict=False)
    own = [float(image.mean()) for image in images]
    assert details["avg"] == pytest.approx([2 * won + 0.5 * mean for won, mean in zip([0, 1, 1, 0], own, strict=True)])


def test_arrays_scores_and_videos(scorer):
    nhwc = np.zeros((2, 16, 16, 3), np.uint8)
    nhwc[1, ..., 0] = 255
    values, _ = flow_grpo.score(scorer, contract="final_score")(nhwc, ["a", "a"], {})
    assert values == [0.0, 1.0]
    videos = torch.stack([nchw(10, 10), nchw(90, 90)])
    values, _ = flow_grpo.win_rate(scorer, task="video_generation")(videos, ["a", "a"], {})
    assert values == [0.0, 1.0]


def test_a_failure_is_nan_in_its_reward_and_in_the_sum(scorer):
    fn = flow_grpo.extend_multi_score(theirs, urt=flow_grpo.win_rate(scorer))("cpu", {"urt": 1.0, "brightness": 1.0})
    details, _ = fn(nchw(10, 200, 13), ["a"] * 3, [{}] * 3)
    assert details["urt"][:2] == [0.0, 1.0]
    assert math.isnan(details["urt"][2])
    assert math.isnan(details["avg"][2])
    values, extra = flow_grpo.win_rate(scorer, on_failure="drop")(nchw(10, 200, 13), ["a"] * 3, {})
    assert values == [0.0, 1.0, 0.5]
    assert extra == {"failure_rate": pytest.approx(1 / 3)}


def test_a_group_of_one_has_no_win_rate_and_stops_nobody(scorer):
    values, _ = flow_grpo.win_rate(scorer)(nchw(1, 2, 3), ["a", "a", "b"], {})
    assert values[:2] == [0.0, 1.0]
    assert math.isnan(values[2])
    with pytest.raises(ConfigError, match="names no reward"):
        flow_grpo.extend_multi_score(theirs)("cpu", {})


def test_parts_of_groups_are_refused_where_nothing_gathers_them(scorer, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    reward = flow_grpo.win_rate(scorer)
    with pytest.raises(ConfigError, match=r"8 processes.*group_size=config\.sample"):
        reward(nchw(1, 2), ["a", "a"], {})
    # An evaluation has one sample a prompt, wherever it runs.
    pool = ReferencePool(anchors=(Image.new("RGB", (16, 16), (90, 0, 0)),))
    values, _ = flow_grpo.win_rate(scorer, references=pool)(nchw(10, 200), ["a", "b"], {}, only_strict=False)
    assert values == [0.0, 1.0]


# The judge behind `urt serve`


@pytest.fixture
def served(scorer):
    """The real server in a thread, with a token."""
    judge = Scorer(engine=scorer.engine, dialect=Dialect.DIRECT, allow_paths=False)
    app = create_app(judge, ServerSettings(token="secret"))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_a_served_judge_gives_the_same_rewards(served):
    judge = ServedJudge(served, token="secret")
    fn = flow_grpo.extend_multi_score(theirs, urt=flow_grpo.served(judge))("cpu", {"urt": 1.0})
    details, _ = fn(nchw(10, 200, 90, 30), ["a", "b", "a", "b"], [{}] * 4)
    assert details["urt"] == [0.0, 1.0, 1.0, 0.0]
    images = nchw(10, 200, 13, 30)
    images[3, 0, 0, 0] = math.nan
    values, statuses = judge.rewards(texts=["a"] * 4, candidates=list(images))
    assert values == [0.0, 1.0, None, None]
    assert statuses == ["ok", "ok", "timeout", "bad_media"]
    with pytest.raises(EngineError, match="HTTP 401"):
        ServedJudge(served).rewards(texts=["a"] * 2, candidates=list(nchw(1, 2)))
    assert judge.rewards(texts=["a"], candidates=list(nchw(1))) == ([None], ["alone"])


@pytest.mark.parametrize(
    ("reply", "status", "requests"),
    [
        (Reply(status=503), "http_error", 2),
        (Reply(body=b"<html>"), "http_error", 1),
        (Reply(body=b"{}", sent_bytes=0, then="reset"), "http_error", 2),
        (Reply(body=b'{"rewards": [', sent_bytes=5, then="close"), "http_error", 2),
        (Reply(delay_s=30), "timeout", 2),
    ],
)
def test_a_server_that_fails_is_a_status(reply, status, requests):
    with ScriptedEndpoint(script=lambda request: reply) as endpoint:
        judge = ServedJudge(endpoint.base_url, max_attempts=2, timeout_s=0.3)
        values, statuses = judge.rewards(texts=["a", "a"], candidates=list(nchw(1, 2)))
        assert (values, statuses) == ([None, None], [status, status])
        assert endpoint.num_requests == requests
    values, extra = flow_grpo.served(judge)(nchw(1, 2), ["a", "a"], {})  # nobody listens any more
    assert all(map(math.isnan, values))
    assert extra == {"failure_rate": 1.0}


def test_scores_need_no_group():
    engine = ScriptedEngine(script=lambda prompt, index: "Final Score: 3")
    assert flow_grpo.score(Scorer(engine=engine), contract="final_score")(nchw(1), ["a"], {})[0] == [0.5]
