"""One generated picture at a time: its caption, its group, its score, and what is said of a failure."""

import asyncio
import json
import math
from typing import Any

import pytest
from PIL import Image

from urt_core import Task
from urt_core.adapters.served import ServedJudge
from urt_core.adapters.verl_omni import make_compute_score
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint
from urt_core.errors import ConfigError

PICTURE = Image.new("RGB", (8, 8), "red")


def scored(
    reply: dict, *calls: dict[str, Any], truth: str = "the truth", **settings: Any
) -> tuple[list[dict], list[dict]]:
    """(what was returned, what the server was sent) for each row of `extra_info`."""
    seen = []

    def script(request):
        seen.append(request.json)
        return Reply(body=json.dumps(reply).encode())

    with ScriptedEndpoint(script=script) as endpoint:
        compute_score = make_compute_score(ServedJudge(endpoint.base_url, max_attempts=1, timeout_s=10), **settings)
        found = [asyncio.run(compute_score("set", PICTURE, truth, row)) for row in calls]
    return found, seen


def test_the_score_is_the_servers_and_the_caption_the_first_that_is_there() -> None:
    rows = [{"prompt": "a car", "raw_prompt": "raw"}, {"raw_prompt": "raw"}, {}]
    found, seen = scored({"rewards": [0.75], "statuses": ["ok"]}, *rows)
    assert found == [{"score": 0.75, "urt_status": "ok", "urt_failure_rate": 0.0}] * 3
    assert [body["prompt"] for body in seen] == [["a car"], ["raw"], ["the truth"]]
    assert all("groups" not in body for body in seen)


def test_samples_of_a_prompt_share_a_group_and_one_that_is_no_training_sample_has_none() -> None:
    rows = [
        {"prompt": "a", "uid": "7"},
        {"prompt": "a", "uid": "7"},
        {"prompt": "a", "index": 8},
        {"prompt": "a", "uid": "7", "split": "test"},
    ]
    _, seen = scored({"rewards": [0.5], "statuses": ["ok"]}, *rows, group_size=4)
    names = [body.get("groups") for body in seen]
    assert names[0] == names[1] != names[2]
    assert names[3] is None
    assert [body.get("group_size") for body in seen] == [4, 4, 4, None]


@pytest.mark.parametrize(("policy", "score"), [("nan", math.nan), ("tie", 0.5)])
def test_a_sample_that_could_not_be_judged_is_counted(policy: str, score: float) -> None:
    found, _ = scored({"rewards": [None], "statuses": ["timeout"]}, {}, {}, on_failure=policy)
    assert [one["urt_status"] for one in found] == ["timeout"] * 2
    assert found[0]["score"] == pytest.approx(score, nan_ok=True)
    assert found[1]["urt_failure_rate"] == 1.0


def test_what_has_no_place_in_verl_omni_is_refused_before_training() -> None:
    with pytest.raises(ConfigError, match="on_failure='drop' needs the sample's group"):
        make_compute_score(ServedJudge("http://127.0.0.1:1"), on_failure="drop")
    with pytest.raises(ConfigError, match="task of the served judge is image_understanding"):
        make_compute_score(ServedJudge("http://127.0.0.1:1", task=Task.IMAGE_UNDERSTANDING))
