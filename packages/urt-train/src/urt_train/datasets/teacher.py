"""Who writes the traces: the oracle of the sprite world, or any OpenAI-compatible endpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence

from urt_core import AsyncEngine, Engine, PreferenceRecord
from urt_core.errors import ConfigError
from urt_train.config import DistillConfig, Teacher


def open_teacher(config: DistillConfig, records: Sequence[PreferenceRecord]) -> Engine | AsyncEngine:
    if config.teacher is Teacher.oracle:
        from urt_data.sprites import OracleTeacher

        return OracleTeacher(records)
    key = os.environ.get(config.api_key_env, "").strip()
    if not key:
        raise ConfigError(
            f"distill.teacher is openai and the environment variable {config.api_key_env} is not set; put the key of {config.base_url} "
            "there (any word will do for a server without keys), or name another variable with distill.api_key_env"
        )
    from urt_core.engines.openai import OpenAIEngine
    from urt_core.engines.retrying import RetryPolicy

    return OpenAIEngine(
        base_url=config.base_url,
        model=config.model,
        api_key=key,
        concurrency=config.concurrency,
        retry=RetryPolicy(
            max_attempts=config.retries, attempt_timeout_s=config.timeout, deadline_s=config.timeout * config.retries
        ),
    )
