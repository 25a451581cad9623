"""A scorer from a flat mapping, for trainers that configure rewards in YAML or through the environment."""

import json
import os
from collections.abc import Mapping
from typing import Any

from urt_core.errors import ConfigError
from urt_core.scorer import Scorer

ENVIRONMENT_PREFIX = "URT_"
JUDGE_SETTINGS = ("model", "base_url", "engine", "engine_options", "dialect", "concurrency", "batch_size", "cache")
# Of a judge behind `base_url`: its endpoint profile, and how pictures are sent.
ENDPOINT_SETTINGS = ("profile", "image_format")
SCORER_SETTINGS = ("orders", "votes", "probability", "templates", "judge_mode", "bounds")


def scorer_from_settings(settings: Mapping[str, Any]) -> Scorer:
    """`model` alone is a judge folder or hub id that is loaded here; with `base_url` it is the name at that endpoint. A
    folder's `judge.json` says how it is asked, here or there; without one, `dialect` must.

    scorer_from_settings({"base_url": "http://localhost:8000/v1", "model": "judge", "dialect": "v2", "concurrency": 64})
    scorer_from_settings({"base_url": address, "model": "gpt-5-mini", "profile": "openai-reasoning", "image_format":
    "jpeg"}) scorer_from_settings({"model": "outputs/tiny/grpo/model", "engine": "vllm", "engine_options":
    {"max_model_len": 8192}})
    """
    allowed = (*JUDGE_SETTINGS, *ENDPOINT_SETTINGS, *SCORER_SETTINGS)
    unknown = sorted(set(settings) - set(allowed))
    if unknown or not settings.get("model"):
        raise ConfigError(f"judge settings lack model or hold unknown {unknown}; allowed: {', '.join(allowed)}")
    more = {name: settings[name] for name in SCORER_SETTINGS if name in settings}
    more |= {"votes": int(more["votes"])} if "votes" in more else {}
    if "judge_mode" in more:  # verl's adapter has a `mode` of its own
        more["mode"] = more.pop("judge_mode")
    if "bounds" in more:
        more["bounds"] = read_bounds(more["bounds"])
    base_url = settings.get("base_url")
    engine_options = read_options(settings.get("engine_options") or {})
    if base_url:
        endpoint = {name: settings[name] for name in ENDPOINT_SETTINGS if settings.get(name)}
        engine_options = {"concurrency": int(settings.get("concurrency", 32)), **endpoint, **engine_options}
    scorer = Scorer.from_pretrained(
        settings["model"],
        base_url=base_url,
        engine=settings.get("engine", "transformers"),
        dialect=settings.get("dialect"),
        batch_size=int(settings.get("batch_size", 64)),
        engine_options=engine_options,
        **more,
    )
    return scorer.with_cache(settings["cache"]) if settings.get("cache") else scorer


def read_options(value: Any) -> dict[str, Any]:
    """A mapping, or its JSON where it comes from the environment: URT_ENGINE_OPTIONS='{"max_model_len": 8192}'."""
    try:
        options = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, Mapping):
        raise ConfigError(f"engine_options is {value!r}; it must be a mapping, such as max_model_len: 8192")
    return dict(options)


def read_bounds(value: Any) -> tuple[float, ...]:
    """Two numbers, or their text where it comes from the environment: URT_BOUNDS="0.1 0.9"."""
    try:
        return tuple(map(float, value.replace(",", " ").split() if isinstance(value, str) else value))
    except (TypeError, ValueError):
        raise ConfigError(f"bounds is {value!r}; it must be two numbers from 0 to 1, such as 0.1 0.9") from None


def settings_from_environment(*, without: tuple[str, ...] = ()) -> dict[str, str]:
    """URT_MODEL=judge URT_BASE_URL=http://localhost:8000/v1 -> {"model": "judge", "base_url": "http://..."}."""
    found = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in os.environ.items()
        if name.startswith(ENVIRONMENT_PREFIX) and value
    }
    return {name: value for name, value in found.items() if name not in without}
