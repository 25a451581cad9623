"""The routes, asked the way clients ask them; the judge prefers the redder image."""

import pytest
from fastapi.testclient import TestClient

from tests.urt_core.instant.instant_judge import anchored_judge, anchored_scorer
from tests.urt_core.server.serving import judge, picture, serve
from urt_core import Scorer
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import ConfigError
from urt_core.server import ServerSettings, create_app

PAIR = {"task": "image_generation", "text": "a cat", "first": picture(200), "second": picture(100)}


def test_compare_returns_the_comparison():
    answer = serve().post("/v1/compare", json=PAIR | {"key": "../Pair_1 é"})
    assert answer.status_code == 200
    comparison = answer.json()
    assert (comparison["key"], comparison["status"], comparison["preference"]) == ("../Pair_1 é", "ok", "first")
    assert (comparison["probability_first"], comparison["position_consistent"]) == (1.0, True)
    assert [vote["order"] for vote in comparison["votes"]] == ["given", "swapped"]


def test_answers_are_compared_about_an_image():
    client = serve(lambda prompt, index: "Answer 2 is better." if index == 0 else "")
    request = {"task": "image_understanding", "text": "how many?", "first": "one", "second": "two", "media": picture(1)}
    comparison = client.post("/v1/compare", json=request | {"orders": "given"}).json()
    assert (comparison["status"], comparison["preference"]) == ("ok", "second")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"first": picture(13)}, "timeout"),
        ({"first": "data:image/png;base64,AAAA"}, "parse_error"),
        ({"first": "/etc/passwd"}, "bad_media"),
        ({"first": "file:///etc/passwd"}, "bad_media"),
        ({"first": "http://127.0.0.1/a.png"}, "bad_media"),
        ({"first": "http://169.254.169.254/latest/meta-data"}, "bad_media"),
        ({"first": "data:image/png;base64,not base64"}, "bad_media"),
        ({"first": []}, "bad_media"),
    ],
)
def test_what_cannot_be_judged_is_a_status_and_no_number(changes, status):
    def script(prompt, index):
        try:
            return judge(prompt, index)
        except OSError:
            return "I see nothing."  # a scripted judge decodes by itself

    comparison = serve(script).post("/v1/compare", json=PAIR | changes).json()
    assert comparison["status"] == status
    assert comparison["preference"] is comparison["probability_first"] is comparison["margin"] is None
    assert comparison["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        PAIR | {"task": "audio"},
        PAIR | {"first": None},
        PAIR | {"first": 3},
        PAIR | {"unknown": 1},
        PAIR | {"votes": 0},
        PAIR | {"votes": 1000},
        PAIR | {"key": "x" * 201},
        PAIR | {"orders": "all"},
        PAIR | {"text": "x" * 200_000},
    ],
)
def test_a_malformed_request_is_422(body):
    assert serve().post("/v1/compare", json=body).status_code == 422


def test_score():
    request = {"task": "image_generation", "text": "a cat", "candidate": picture(255), "contract": "final_score"}
    score = serve(lambda prompt, index: "Final Score: 4.5").post("/v1/score", json=request).json()
    assert (score["status"], score["score"], score["contract"]) == ("ok", 4.5, "final_score")
    failed = serve(lambda prompt, index: "nice").post("/v1/score", json=request).json()
    assert (failed["status"], failed["score"], failed["fraction"]) == ("parse_error", None, None)


def test_a_score_against_anchors():
    request = {
        "task": "image_understanding", "text": "q", "candidate": "a", "media": picture(255), "against": "anchors", "key": "k",
    }  # fmt: skip
    own = anchored_scorer(anchored_judge((0.9, 0.8, 0.6, 0.3)), allow_paths=False)
    client = TestClient(create_app(own, ServerSettings()), base_url="http://127.0.0.1")
    score = client.post("/v1/score", json=request).json()
    assert score["score"] == pytest.approx(0.65)
    assert (score["key"], score["against"], score["calibrated"], score["num_votes"]) == ("k", "anchors", True, 8)
    assert score["interval"][0] < 0.65 < score["interval"][1]
    both = client.post("/v1/score", json=request | {"contract": "acs"})
    words = "a candidate is scored by a contract or against anchors; send one of the two"
    assert (both.status_code, both.json()["error"]["message"]) == (422, words)
    without = serve(lambda prompt, index: "Answer 1 is better.").post("/v1/score", json=request)
    assert (without.status_code, "this judge has none" in without.json()["error"]["message"]) == (422, True)


def test_rank():
    request = {"task": "image_generation", "text": "a cat", "candidates": [picture(10), picture(30), picture(20)]}
    ranking = serve().post("/v1/rank", json=request).json()
    assert ranking["order"] == [1, 2, 0]
    assert ranking["win_rates"] == [0.0, 1.0, 0.5]
    assert len(ranking["comparisons"]) == 3
    failed = serve().post("/v1/rank", json=request | {"candidates": [picture(10), picture(13)]}).json()
    assert (failed["status"], failed["win_rates"], failed["num_failed"]) == ("timeout", [None, None], 1)
    too_many = serve(max_candidates=2).post("/v1/rank", json=request)
    assert too_many.status_code == 422
    assert "allowed are 2" in too_many.json()["error"]["message"]
    assert serve().post("/v1/rank", json=request | {"candidates": [picture(1)]}).status_code == 422


def test_health_models_and_metrics():
    client = serve()
    assert client.get("/health").json()["status"] == "ok"
    assert client.get("/v1/models/anything").json()["id"] == "anything"
    assert client.get("/v1/models").json()["data"][0]["id"] == "scripted"
    client.post("/v1/compare", json=PAIR)
    client.post("/v1/compare", json=PAIR | {"first": picture(13)})
    client.post("/v1/compare", json={})
    lines = set(client.get("/metrics").text.splitlines())
    assert 'urt_results_total{kind="comparison",status="ok"} 1.0' in lines
    assert 'urt_results_total{kind="comparison",status="timeout"} 1.0' in lines
    assert 'urt_requests_total{code="200",route="/v1/compare"} 2.0' in lines
    assert 'urt_requests_total{code="422",route="/v1/compare"} 1.0' in lines
    assert "urt_running_requests 0.0" in lines


def test_a_scorer_that_reads_paths_is_not_served():
    with pytest.raises(ConfigError, match="allow_paths=False"):
        create_app(Scorer(engine=ScriptedEngine(script=[])))
