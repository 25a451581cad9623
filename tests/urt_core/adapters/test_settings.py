"""A scorer from a flat mapping."""

import pytest

from urt_core import Dialect, JudgeSpec
from urt_core.adapters.settings import scorer_from_settings, settings_from_environment
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.wrappers.cached import CachedEngine
from urt_core.errors import CheckpointError, ConfigError
from urt_core.media import MediaPolicy


def test_an_endpoint(tmp_path):
    settings = {
        "base_url": "http://localhost:8000/v1",
        "model": "judge",
        "dialect": "v2",
        "concurrency": "64",
        "votes": "3",
    }
    scorer = scorer_from_settings(settings)
    assert isinstance(scorer.engine, OpenAIEngine)
    assert (scorer.engine.served_model, scorer.engine.concurrency) == ("judge", 64)
    assert (scorer.dialect, scorer.sampling.num_completions) == ("v2", 3)
    cached = scorer_from_settings(settings | {"cache": str(tmp_path / "cache.sqlite")})
    assert isinstance(cached.engine, CachedEngine)


def test_an_endpoint_that_serves_a_folder_of_urt_is_asked_as_its_judge_json_says(tmp_path):
    JudgeSpec(
        dialect=Dialect.V2,
        dimensions={},
        min_pixels=784,
        max_pixels=3136,
        num_frames=2,
        stage="grpo",
        base="base",
        max_completion_tokens=2048,
    ).save(tmp_path)
    scorer = scorer_from_settings({"base_url": "http://localhost:8000/v1", "model": str(tmp_path)})
    assert isinstance(scorer.engine, OpenAIEngine)
    assert (scorer.dialect, scorer.engine.served_model, scorer.engine.concurrency) == ("v2", str(tmp_path), 32)
    assert scorer.sampling.max_tokens == 2048
    assert scorer.engine.policy == MediaPolicy(min_pixels=784, max_pixels=3136, num_frames=2)


def test_an_endpoint_without_a_folder_needs_a_dialect():
    with pytest.raises(CheckpointError, match=r"give its dialect .*v1 .*v2 .*direct"):
        scorer_from_settings({"base_url": "http://localhost:8000/v1", "model": "judge"})


@pytest.mark.parametrize("settings", [{}, {"model": ""}, {"model": "judge", "temprature": 1}])
def test_what_is_missing_or_unknown_is_named(settings):
    with pytest.raises(ConfigError, match=r"allowed: model, base_url"):
        scorer_from_settings(settings)


def test_the_environment(monkeypatch):
    monkeypatch.setenv("URT_MODEL", "judge")
    monkeypatch.setenv("URT_DIALECT", "")
    monkeypatch.setenv("URT_TOKEN", "secret")
    assert settings_from_environment(without=("token",)) == {"model": "judge"}
