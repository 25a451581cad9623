"""A run is everything that can change its numbers; the rest is a list, every entry of which is a setting."""

import fnmatch

import pytest
from omegaconf import OmegaConf

from urt_core.errors import ConfigError
from urt_train.runtime.identity import FREE, changes, digest, flat, model_files, refuse, run_identity
from urt_train.stages import train_config


def settings(**changed) -> dict:
    values = OmegaConf.to_container(OmegaConf.structured(train_config()()), enum_to_str=True)
    assert isinstance(values, dict)
    values["stage"] = "grpo"
    for name, value in changed.items():
        section = values
        *parts, last = name.split("__")
        for part in parts:
            section = section[part]
        section[last] = value
    return values


def of(*, inputs=None, facts=None, **changed) -> dict:
    return run_identity(
        settings(**changed),
        stage="grpo",
        other_stages=["cold_start", "rejection_sampling", "dpo"],
        facts={
            **(inputs or {"data": "d1", "initial/model.safetensors": "m1"}),
            **(facts or {"processes": 2, "accelerator": "cpu"}),
        },
    )


COUNTED = [
    ("trainer__precision", "bf16-mixed"),
    ("model__attention", "eager"),
    ("model__dtype", "bfloat16"),
    ("judge__max_pixels", 100_000),
    ("seed", 1),
    ("strategy", {"_target_": "lightning.pytorch.strategies.DDPStrategy"}),
    ("grpo__learning_rate", 1e-5),
    ("grpo__engine", "vllm"),
    ("grpo__max_steps", 7),
]


@pytest.mark.parametrize(("name", "value"), COUNTED)
def test_what_changes_numbers_is_the_run(name, value):
    found = changes(of(), of(**{name: value}))
    assert [key.partition("._")[0] for key in found] == [name.replace("__", ".")] or name == "strategy"
    assert digest(of()) != digest(of(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trainer__timeout_s", 5.0),
        ("trainer__progress_bar", False),
        ("output_root", "elsewhere"),
        ("cold_start__learning_rate", 1.0),
        ("grpo__save_every", 7),
        ("grpo__micro_batch_size", 4),
        ("grpo__micro_batch_tokens", 4096),
        ("logger", {"w": {"_target_": "x"}}),
    ],
)
def test_what_is_free_is_not(name, value):
    assert changes(of(), of(**{name: value})) == {}


def test_files_and_machines_belong_to_a_run():
    assert list(changes(of(), of(inputs={"data": "d1", "initial/model.safetensors": "m2"}))) == [
        "initial/model.safetensors"
    ]
    assert changes(of(), of(facts={"processes": 4, "accelerator": "cpu"})) == {"processes": (2, 4)}
    assert "torch" in of()


def test_every_free_name_is_a_setting():
    """So that a typing error, or a setting that is gone, is seen."""
    names = [name for name, _ in flat(settings())]
    later = {"go_on_with*", "data.workers", "data.prefetch", "data.cache*"}
    dead = [pattern for pattern in FREE if not any(fnmatch.fnmatchcase(name, pattern) for name in names)]
    assert set(dead) <= later


def test_only_what_is_said_changes(tmp_path):
    longer = changes(of(), of(grpo__max_steps=4))
    with pytest.raises(
        ConfigError, match=r"grpo\.max_steps was None, is 4\): keep them, go on with .*go_on_with=\[grpo\.max_steps\]"
    ):
        refuse(tmp_path, longer, accepted=[])
    refuse(tmp_path, longer, accepted=["grpo.max_steps"])
    refuse(tmp_path, {}, accepted=["grpo.max_steps"])  # the same command again
    both = changes(of(), of(grpo__max_steps=4, grpo__kl_coef=0.5))
    with pytest.raises(
        ConfigError, match=r"grpo\.kl_coef was 0\.04, is 0\.5\): .*go_on_with=\[grpo\.kl_coef,grpo\.max_steps"
    ):
        refuse(tmp_path, both, accepted=["grpo.max_steps"])
    for name, value in (("seed", 1), ("judge__max_pixels", 9_999), ("model__lora__rank", 4)):
        other = changes(of(), of(**{name: value}))
        with pytest.raises(ConfigError, match=r"keep them, choose another output_root") as refused:
            refuse(tmp_path, other, accepted=list(other))
        assert "go_on_with" not in str(refused.value)
    refuse(tmp_path, changes(of(), of(model__attention="eager")), accepted=["model.attention"])


def test_every_file_that_shapes_tokens_pixels_or_weights_counts(tmp_path):
    assert model_files("Qwen/Qwen3-VL-8B-Instruct") == {"initial": "Qwen/Qwen3-VL-8B-Instruct"}
    for name in ("model.safetensors", "chat_template.jinja", "tokenizer.json", "preprocessor_config.json", "README.md"):
        (tmp_path / name).write_text("a")
    before = model_files(tmp_path)
    assert len(before) == 4
    (tmp_path / "chat_template.jinja").write_text("b")
    (tmp_path / "README.md").write_text("b")
    assert list(changes(before, model_files(tmp_path))) == ["initial/chat_template.jinja"]
