"""verl: `compute_score(data_source, solution_str, ground_truth, extra_info, ...)`, awaited once per sample."""

import asyncio
import functools
import inspect
import math

import pytest

from urt_core.adapters import verl
from urt_core.adapters.verl import make_compute_score
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.errors import ConfigError, EngineError


def ask(compute_score, solution, medium, truth="ref"):
    """As verl's reward manager calls it: by keyword, with what its reward loop adds."""
    assert inspect.iscoroutinefunction(compute_score)
    return asyncio.run(
        compute_score(
            data_source="vqa",
            solution_str=solution,
            ground_truth=truth,
            extra_info={"question": "what?", "media": medium, "index": 3},
            reward_router_address="127.0.0.1:9",
            reward_model_tokenizer=None,
        )
    )


def test_against_the_reference(scorer, medium):
    compute_score = make_compute_score(scorer)
    assert ask(compute_score, "longer answer", medium) == {"score": 1.0, "urt_status": "ok", "urt_failure_rate": 0.0}
    assert ask(compute_score, "x", medium)["score"] == 0.0
    assert ask(compute_score, "abc", medium)["score"] == 0.5


def test_scores(scorer, medium):
    compute_score = make_compute_score(scorer, mode="score", contract="final_score")
    assert ask(compute_score, "x" * 40, medium)["score"] == pytest.approx(0.4)


def test_failures(scorer, medium):
    failed = ask(make_compute_score(scorer), "odd", medium)
    assert math.isnan(failed["score"])
    assert (failed["urt_status"], failed["urt_failure_rate"]) == ("timeout", 1.0)
    with pytest.raises(EngineError, match="1 of 1 samples"):
        ask(make_compute_score(scorer, on_failure="raise"), "odd", medium)
    assert ask(make_compute_score(scorer, on_failure="tie"), "odd", medium)["score"] == 0.5
    assert ask(make_compute_score(scorer), "fine", "/no/such.png")["urt_status"] in ("ok", "bad_media")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"on_failure": "drop"}, "one sample at a time"),
        ({"task": "image_generation"}, "answers"),
        ({"mode": "x"}, "mode"),
    ],
)
def test_settings_that_cannot_be(scorer, settings, message):
    with pytest.raises(ConfigError, match=message):
        make_compute_score(scorer, **settings)


def test_a_sample_without_question(scorer):
    with pytest.raises(ConfigError, match="needs `question` and `media`"):
        asyncio.run(make_compute_score(scorer)("vqa", "a", "b", {"index": 1}))


def test_the_ready_made_one_is_built_from_the_environment(monkeypatch, medium):
    make = verl.scorer_from_settings
    build = verl.compute_score_from_environment.__wrapped__
    with ScriptedEndpoint(script=lambda request: chat_reply("Answer 1 is better.")) as endpoint:
        settings = {"MODEL": "judge", "BASE_URL": endpoint.base_url, "DIALECT": "direct", "ORDERS": "given"}
        for name, value in settings.items():
            monkeypatch.setenv(f"URT_{name}", value)
        monkeypatch.setattr(verl, "compute_score_from_environment", functools.cache(build))
        built = []
        monkeypatch.setattr(verl, "scorer_from_settings", lambda given: built.append(make(given)) or built[-1])

        async def score():
            found = await verl.compute_score("vqa", "a", "b", {"question": "q", "media": medium})
            await built[0].engine.aclose()
            return found

        found = asyncio.run(score())
        assert (found["score"], found["urt_status"]) == (1.0, "ok")
