"""Which settings of an engine belong together; what does not is named before anything is loaded."""

import pytest

from urt_core.errors import ConfigError
from urt_train.config import DistillConfig, EvaluationConfig, Teacher
from urt_train.config.judge import OPENAI
from urt_train.stages.rejection_sampling.config import RejectionSamplingConfig

SECTIONS = (EvaluationConfig, RejectionSamplingConfig)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"engine": "vllm", "engine_options": {"tensor_parallel_size": 2, "data_parallel_size": 4}},
        {"engine": "vllm_server", "vllm_servers": ["http://gpu-1:8000", "http://gpu-2:8000"]},
        {"engine": "openai", "base_url": "http://localhost:8000/v1", "profile": "openrouter", "budget_tokens": 10},
    ],
)
def test_what_belongs_together(section, settings):
    assert section(**settings).engine == settings.get("engine", "transformers")


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"engine": "sglang"}, r"\.engine is 'sglang'; allowed: transformers, vllm, vllm_server, openai"),
        ({"engine": "vllm_server"}, r"\.vllm_servers is \[\]; allowed: vllm_server with addresses"),
        ({"vllm_servers": ["http://gpu-1:8000"]}, "is transformers and .*vllm_servers"),
        (
            {"engine": "vllm_server", "vllm_servers": ["http://user:secret@gpu-1:8000"]},
            "without user, path or query",
        ),
        ({"engine": "openai"}, r"base_url is None; allowed: openai with the address"),
        ({"engine": "vllm", "budget_cost": 3.0, "prompt_price": 1.0}, "costs nothing per token"),
        ({"engine": "openai", "base_url": "http://a/v1", "profile": "nobody"}, "profile is 'nobody'; known: "),
        ({"engine": "vllm", "timeout": 0.0}, r"timeout is 0\.0; allowed: a number above 0"),
        ({"engine_options": {"dtype": "float32"}}, "nothing for transformers"),
    ],
)
def test_what_does_not_is_named(section, settings, words):
    with pytest.raises(ConfigError, match=words) as error:
        section(**settings)
    assert "\n" not in str(error.value)


def test_the_openai_teacher_has_an_address_and_the_oracle_none():
    assert DistillConfig().base_url is None
    assert DistillConfig(teacher=Teacher.openai).base_url == OPENAI
    assert DistillConfig(teacher=Teacher.openai, base_url="http://localhost/v1").base_url == "http://localhost/v1"
    assert DistillConfig(teacher=Teacher.vllm, engine_options={"tensor_parallel_size": 2}).base_url is None
    with pytest.raises(ConfigError, match=r"distill\.teacher is vllm_server and distill\.vllm_servers is \[\]"):
        DistillConfig(teacher=Teacher.vllm_server)
