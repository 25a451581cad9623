"""A scorer from a flat mapping."""

import pytest

from urt_core.adapters.settings import scorer_from_settings, settings_from_environment
from urt_core.engines.cached import CachedEngine
from urt_core.engines.openai import OpenAIEngine
from urt_core.errors import ConfigError


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


@pytest.mark.parametrize("settings", [{}, {"model": ""}, {"model": "judge", "temprature": 1}])
def test_what_is_missing_or_unknown_is_named(settings):
    with pytest.raises(ConfigError, match=r"allowed: model, base_url"):
        scorer_from_settings(settings)


def test_the_environment(monkeypatch):
    monkeypatch.setenv("URT_MODEL", "judge")
    monkeypatch.setenv("URT_DIALECT", "")
    monkeypatch.setenv("URT_TOKEN", "secret")
    assert settings_from_environment(without=("token",)) == {"model": "judge"}
