"""Who writes the traces: the oracle of the sprite world, an endpoint, or a model on machines of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from urt_core import AsyncEngine, Engine, PreferenceRecord
from urt_core.errors import ConfigError
from urt_core.media import MediaPolicy
from urt_train.config import DistillConfig, Teacher


@contextmanager
def opened_teacher(
    config: DistillConfig, records: Sequence[PreferenceRecord], *, dtype: str = "auto"
) -> Iterator[Engine | AsyncEngine]:
    """Pictures are shown as large as `MediaPolicy` says, whatever the judge that learns is shown."""
    if config.teacher is Teacher.oracle:
        from urt_data.sprites import OracleTeacher

        yield OracleTeacher(records)
        return
    if config.teacher is Teacher.openai and not os.environ.get(config.api_key_env, "").strip():
        raise ConfigError(
            f"distill.teacher is openai and the environment variable {config.api_key_env} is not set; put the key of {config.base_url} "
            "there (any word will do for a server without keys), or name another variable with distill.api_key_env"
        )
    if config.teacher is Teacher.transformers:
        from urt_core.judges.pretrained import load_engine

        yield load_engine(config.model, kind="transformers", policy=MediaPolicy())
        return
    from urt_train.model.judging import opened_engine

    with opened_engine(config, str(config.teacher), config.model, policy=MediaPolicy(), dtype=dtype) as engine:
        yield engine
