"""Settings of judge, model, teacher and measurement: each mistake names field, value and what is allowed."""

import pytest

from urt_core.errors import ConfigError
from urt_train.config.choices import Orders
from urt_train.config.judge import DistillConfig, EvaluationConfig, JudgeConfig, LoraConfig, ModelConfig, known_contract


@pytest.mark.parametrize(
    ("section", "settings", "message"),
    [
        (JudgeConfig, {"dialect": "v3"}, r"judge\.dialect is 'v3'; allowed: v1, v2, direct, or a contract of your own"),
        (JudgeConfig, {"min_pixels": 0}, r"judge\.min_pixels is 0; allowed: 1 or more"),
        (JudgeConfig, {"max_pixels": 99, "min_pixels": 100}, r"max_pixels is 99; allowed: judge\.min_pixels \(100\)"),
        (JudgeConfig, {"num_frames": 0}, r"judge\.num_frames is 0; allowed: 1 or more"),
        (LoraConfig, {"rank": -1}, r"model\.lora\.rank is -1; allowed: 0 or more"),
        (LoraConfig, {"alpha": 0.0}, r"model\.lora\.alpha is 0\.0; allowed: a number above 0"),
        (LoraConfig, {"dropout": -0.1}, r"model\.lora\.dropout is -0\.1; allowed: 0 or more"),
        (ModelConfig, {"dtype": "float16"}, r"model\.dtype is 'float16'; allowed: float32, bfloat16"),
        (ModelConfig, {"attention": "flash"}, r"model\.attention is 'flash'; allowed: sdpa, eager, flash_attention_2"),
        (DistillConfig, {"tasks": []}, r"distill\.tasks is \[\]; allowed: one or more of image_generation"),
        (DistillConfig, {"direct_share": 1.5}, r"distill\.direct_share is 1\.5; allowed: "),
        (DistillConfig, {"timeout": 0.0}, r"distill\.timeout is 0\.0; allowed: a number above 0"),
        (DistillConfig, {"retries": 0}, r"distill\.retries is 0; allowed: 1 or more"),
        (
            EvaluationConfig,
            {"engine": "sglang"},
            r"evaluation\.engine is 'sglang'; allowed: transformers, vllm, vllm_server, openai",
        ),
        (EvaluationConfig, {"engine": "openai"}, r"base_url is None; allowed: openai with the address of an endpoint"),
        (EvaluationConfig, {"base_url": "http://a/v1"}, r"engine is transformers and evaluation\.base_url is http://a"),
        (
            EvaluationConfig,
            {"engine_options": {"a": 1}},
            r"engine_options is \{'a': 1\}; allowed: nothing for transformers; they are for vllm and openai",
        ),
        (EvaluationConfig, {"best_by": "loss"}, r"evaluation\.best_by is 'loss'; allowed: accuracy, position_consist"),
        (EvaluationConfig, {"orders": Orders.random}, r"evaluation\.orders is random; allowed: given, both"),
        (EvaluationConfig, {"dialects": ["judge", "v9"]}, r"evaluation\.dialects is 'v9'; allowed: v1, v2, direct"),
        (
            EvaluationConfig,
            {"beside": {"one": "../up"}},
            r"evaluation\.beside\.one is '\.\./up'; allowed: <recipe>/<st",
        ),
        (
            EvaluationConfig,
            {"beside": {"one": "tiny"}},
            r"evaluation\.beside\.one is 'tiny'; allowed: <recipe>/<stage>",
        ),
        (EvaluationConfig, {"watched_pairs": 0}, r"evaluation\.watched_pairs is 0; allowed: 1 or more"),
        (EvaluationConfig, {"every": -1}, r"evaluation\.every is -1; allowed: 0 or more"),
    ],
)
def test_a_mistake_names_field_value_and_what_is_allowed(section, settings, message):
    with pytest.raises(ConfigError, match=message) as caught:
        section(**settings)
    assert "\n" not in str(caught.value)


def test_a_contract_of_ones_own_that_does_not_import_is_named_before_weights_are_read():
    with pytest.raises(ConfigError, match=r"judge\.dialect is 'no_such_package:contract'; allowed: .*no_such_package"):
        known_contract("judge.dialect", "no_such_package:contract")
    for name in ("v1", "v2", "direct"):
        known_contract("judge.dialect", name)


def test_what_goes_together_is_taken():
    endpoint = EvaluationConfig(engine="openai", base_url="http://localhost:8000/v1", engine_options={"concurrency": 4})
    assert endpoint.engine_options == {"concurrency": 4}
    assert EvaluationConfig(beside={"direct": "tiny_direct/cold_start"}).beside["direct"] == "tiny_direct/cold_start"
    assert JudgeConfig(min_pixels=100, max_pixels=100).max_pixels == 100
