"""The protocol of Flow-Factory's remote client: what it sends, field for field."""

import json
import math

import pytest
from fastapi.testclient import TestClient

from tests.urt_core.server.serving import base64_png, picture, serve, shade_of
from urt_core import Scorer
from urt_core.adapters import ReferencePool
from urt_core.engines.scripted import ScriptedEngine
from urt_core.server import ServerSettings, create_app

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
