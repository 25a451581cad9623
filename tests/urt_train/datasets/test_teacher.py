"""Who writes the traces, and what has to be there before it is asked."""

from contextlib import contextmanager

import pytest

from urt_core import Dialect, Preference, SamplingParams, Task, parse_judgement, render
from urt_core.errors import ConfigError
from urt_core.media import MediaPolicy
from urt_data.sprites import build_split
from urt_train.config import DistillConfig, Teacher
from urt_train.datasets.teacher import opened_teacher


def test_the_oracle_judges_the_pairs_that_it_was_given_rightly():
    records = list(build_split("train", {"image_generation": 3, "image_understanding": 3}, seed=0))
    with opened_teacher(DistillConfig(), records) as oracle:
        prompts = [render(record, Dialect.V1) for record in records]
        groups = oracle.generate(prompts, SamplingParams(max_tokens=400))  # pyright: ignore[reportAttributeAccessIssue]
    verdicts = [
        parse_judgement(group[0].text, task=record.task).verdict  # pyright: ignore[reportAttributeAccessIssue]
        for group, record in zip(groups, records, strict=True)
    ]
    assert verdicts == [record.preference for record in records]
    assert set(verdicts) <= {Preference.FIRST, Preference.SECOND}
    assert {record.task for record in records} == {Task.IMAGE_GENERATION, Task.IMAGE_UNDERSTANDING}


@pytest.mark.parametrize("key", [None, "", "  "])
def test_an_endpoint_needs_a_key_before_it_is_asked(monkeypatch, key):
    monkeypatch.delenv("MY_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("MY_KEY", key)
    config = DistillConfig(teacher=Teacher.openai, api_key_env="MY_KEY")
    with (
        pytest.raises(ConfigError, match=r"distill\.teacher is openai and the environment variable MY_KEY is not set"),
        opened_teacher(config, []),
    ):
        pass


@pytest.mark.parametrize("kind", [Teacher.openai, Teacher.vllm_server])
def test_engines_are_opened_and_closed_with_the_teachers_own_settings(monkeypatch, kind):
    """Pictures as large as they are, whatever the judge that learns is shown."""
    seen = []

    @contextmanager
    def opened(settings, name, model, *, policy, dtype):
        seen.append((settings, name, model, policy, dtype))
        yield "engine"
        seen.append("closed")

    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setattr("urt_train.model.judging.opened_engine", opened)
    servers = ["http://a"] if kind is Teacher.vllm_server else []
    config = DistillConfig(teacher=kind, model="teacher", vllm_servers=servers)
    with opened_teacher(config, [], dtype="bfloat16") as engine:
        assert engine == "engine"
    assert seen == [(config, str(kind), "teacher", MediaPolicy(), "bfloat16"), "closed"]


def test_a_model_of_ones_own_is_loaded_by_transformers(monkeypatch):
    loaded = []
    monkeypatch.setattr(
        "urt_core.judges.pretrained.load_engine", lambda model, **how: loaded.append((model, how["kind"])) or "engine"
    )
    with opened_teacher(DistillConfig(teacher=Teacher.transformers, model="folder"), []) as engine:
        assert engine == "engine"
    assert loaded == [("folder", "transformers")]
