"""The routes, asked the way clients ask them; the judge prefers the redder image."""

import base64
import io
import json
import math

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.urt_core.instant.instant_judge import anchored_judge, anchored_scorer
from urt_core import Completion, Dialect, FinishReason, Scorer
from urt_core.adapters import ReferencePool
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import ConfigError
from urt_core.server import ServerSettings, create_app


def base64_png(shade: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (shade, 0, 0)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def picture(shade: int) -> str:
    return f"data:image/png;base64,{base64_png(shade)}"


def shade_of(media) -> int:
    """The red of the first pixel."""
    return Image.open(io.BytesIO(media.data[0])).tobytes()[0]


def judge(prompt, index):
    """Direct verdicts about two images, a score for one, and no answer to images of shade 13."""
    shades = [shade_of(media) for media in prompt.media]
    if 13 in shades:
        return Completion(text="", finish_reason=FinishReason.TIMEOUT, detail="no answer within 1 s")
    if len(shades) == 1:
        return f"<think>fine</think>\n<answer>Final Score: {1 + shades[0] / 255 * 4:.2f}</answer>"
    return "Image 1 is better." if shades[0] > shades[1] else "Image 2 is better."


def serve(script=judge, **settings) -> TestClient:
    scorer = Scorer(engine=ScriptedEngine(script=script), dialect=Dialect.DIRECT, allow_paths=False)
    return TestClient(create_app(scorer, ServerSettings(**settings)), base_url="http://127.0.0.1")


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
    assert (both.status_code, "by a contract or against anchors" in both.json()["error"]["message"]) == (422, True)
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


# The protocol of Flow-Factory's remote client: what it sends, field for field

REMOTE = {"video": None, "condition_images": None, "condition_videos": None, "kwargs": None}


def test_compute_returns_win_rates_within_each_prompt():
    request = REMOTE | {"prompt": ["a", "b", "a", "b"], "image": [base64_png(shade) for shade in (10, 20, 30, 5)]}
    answer = serve().post("/compute", json=request).json()
    assert answer == {"rewards": [0.0, 1.0, 1.0, 0.0], "statuses": ["ok"] * 4, "failure_rate": 0.0}


def test_compute_takes_videos_as_frames():
    def script(prompt, index):
        return "Video 1 is better." if shade_of(prompt.media[0]) > shade_of(prompt.media[1]) else "Video 2 is better."

    videos = [[base64_png(shade), base64_png(shade)] for shade in (10, 30)]
    request = REMOTE | {"prompt": ["a", "a"], "image": None, "video": videos}
    assert serve(script).post("/compute", json=request).json()["rewards"] == [0.0, 1.0]


@pytest.mark.parametrize(("on_failure", "expected"), [("nan", math.nan), ("drop", 0.5), ("tie", 0.5)])
def test_a_sample_that_could_not_be_judged_gets_what_the_server_was_told(on_failure, expected):
    request = REMOTE | {"prompt": ["a"] * 3, "image": [base64_png(shade) for shade in (10, 30, 13)]}
    answer = serve(on_failure=on_failure).post("/compute", json=request)
    rewards = json.loads(answer.text)["rewards"]
    assert rewards[:2] == [0.0, 1.0]
    assert rewards[2] == pytest.approx(expected, nan_ok=True)
    assert ("NaN" in answer.text) == math.isnan(expected), "all but nan are JSON for strict parsers too"
    assert answer.json()["statuses"] == ["ok", "ok", "timeout"]
    assert answer.json()["failure_rate"] == pytest.approx(1 / 3)


def test_compute_can_refuse_failures():
    request = REMOTE | {"prompt": ["a", "a"], "image": [base64_png(10), base64_png(13)]}
    answer = serve(on_failure="raise").post("/compute", json=request)
    assert answer.status_code == 502
    assert "2 of 2 samples could not be judged" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "changes",
    [{"image": None}, {"video": [["x"]]}, {"prompt": ["a"]}, {"prompt": []}, {"prompt": [], "image": []}],
)
def test_compute_refuses_what_it_cannot_compare(changes):
    request = REMOTE | {"prompt": ["a", "a"], "image": [base64_png(1), base64_png(2)]} | changes
    answer = serve().post("/compute", json=request)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] in ("image", "prompt")


def test_a_sample_without_company_has_a_status_of_its_own():
    request = REMOTE | {"prompt": ["a", "a", "b"], "image": [base64_png(shade) for shade in (10, 20, 30)]}
    answer = serve().post("/compute", json=request)
    assert json.loads(answer.text)["rewards"] == [0.0, 1.0, pytest.approx(math.nan, nan_ok=True)]
    assert answer.json()["statuses"] == ["ok", "ok", "alone"]
    assert serve(on_failure="tie").post("/compute", json=request).json()["rewards"] == [0.0, 1.0, 0.5]


def test_a_sample_without_company_is_compared_with_references():
    request = REMOTE | {"prompt": ["a", "a", "b"], "image": [base64_png(shade) for shade in (10, 20, 30)]}
    pool = ReferencePool(by_text={"b": (picture(20), picture(40), picture(13))}, anchors=(picture(5),))
    answer = serve(references=pool).post("/compute", json=request).json()
    assert (answer["rewards"], answer["statuses"]) == ([0.0, 1.0, 0.5], ["ok"] * 3)
    # What comes with a sample counts before what the server has.
    own = request | {"references": [[], [], [base64_png(200)]]}
    assert serve(references=pool).post("/compute", json=own).json()["rewards"] == [0.0, 1.0, 0.0]
    unknown = REMOTE | {"prompt": ["c"], "image": [base64_png(30)]}
    assert serve(references=pool).post("/compute", json=unknown).json()["rewards"] == [1.0]
    unreadable = ReferencePool(anchors=(picture(13),))
    failed = serve(references=unreadable, on_failure="tie").post("/compute", json=unknown).json()
    assert (failed["rewards"], failed["statuses"]) == ([0.5], ["timeout"])


def test_edits_are_compared_beside_their_source():
    """Samples of one prompt that are edits of another source are another group; one without any is no edit."""
    shown = []

    def script(prompt, index):
        shown.append([shade_of(media) for media in prompt.media])
        *_, first, second = shown[-1]
        return "Image 1 is better." if first > second else "Image 2 is better."

    request = REMOTE | {"prompt": ["a"] * 6, "image": [base64_png(shade) for shade in (10, 30, 20, 40, 50, 60)]}
    sources = [[base64_png(shade)] for shade in (1, 1, 2, 2)] + [[], None]
    answer = serve(script).post("/compute", json=request | {"condition_images": sources}).json()
    assert answer["rewards"] == [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    assert sorted(shown) == [[1, 10, 30], [1, 30, 10], [2, 20, 40], [2, 40, 20], [50, 60], [60, 50]]


@pytest.mark.parametrize(
    ("changes", "settings", "name"),
    [
        ({"condition_images": [[base64_png(3)], [base64_png(3)]]}, {"reward": "score"}, "condition_images"),
        ({"condition_images": [[base64_png(3)] * 2, [base64_png(3)]]}, {}, "condition_images"),
        ({"condition_images": [[base64_png(3)]]}, {}, "condition_images"),
        ({"condition_videos": [[[base64_png(3)]], [[base64_png(3)]]]}, {}, "condition_videos"),
    ],
)
def test_an_edit_is_not_judged_without_its_source(changes, settings, name):
    request = REMOTE | {"prompt": ["a", "a"], "image": [base64_png(1), base64_png(2)]}
    answer = serve(**settings).post("/compute", json=request | changes)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)
    assert serve().post("/compute", json=request | {name: [[], []]}).status_code == 200


def test_compute_can_return_scores():
    scorer = Scorer(engine=ScriptedEngine(script=lambda prompt, index: "Final Score: 4"), allow_paths=False)
    settings = ServerSettings(reward="score", contract="final_score")
    client = TestClient(create_app(scorer, settings), base_url="http://127.0.0.1")
    answer = client.post("/compute", json=REMOTE | {"prompt": ["a"], "image": [base64_png(1)]}).json()
    assert answer["rewards"] == [0.75]


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
