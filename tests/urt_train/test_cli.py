"""Every YAML file composes to checked dataclasses; every mistake is one line that names the field and what is
allowed."""

from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from urt_core.errors import ConfigError
from urt_train.cli import CONFIGS, compose
from urt_train.config import TrainConfig
from urt_train.config.fields import describe
from urt_train.stages import known_stages, train_config
from urt_train.stages.grpo.config import GRPOConfig

OPTIONS = sorted(
    f"{path.parent.relative_to(CONFIGS)}={path.stem}" for path in CONFIGS.rglob("*.yaml") if path.parent != CONFIGS
)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes(option: str) -> None:
    beside = {
        "data=shards": ["teacher=openai"],
        "teacher=vllm_server": ["distill.vllm_servers=[http://gpu-1:8000]"],
    }
    assert isinstance(compose([option, *beside.get(option, [])]), TrainConfig)


@pytest.mark.parametrize("recipe", sorted(path.stem for path in (CONFIGS / "recipe").glob("*.yaml")))
@pytest.mark.parametrize("stage", [spec.name for spec in known_stages()])
def test_every_recipe_runs_every_stage(recipe: str, stage: str) -> None:
    config = compose([f"recipe={recipe}", f"stage={stage}"])
    assert config.stage == stage
    assert config.recipe == recipe, "the output folder is named after the recipe"
    assert config.stage_dir() == Path("outputs") / recipe / stage


def test_paper_recipe_carries_the_papers_values() -> None:
    config = compose(["recipe=paper_qwen2_5_vl_7b"])
    assert (config.grpo.group_size, config.grpo.kl_coef, config.grpo.learning_rate) == (8, 0.04, 1e-6)
    assert (config.cold_start.learning_rate, config.cold_start.batch_size, config.cold_start.epochs) == (2.5e-6, 128, 3)
    assert (config.grpo.prompts_per_rollout, config.grpo.epochs, config.grpo.top_p) == (64, 2, 0.95)
    assert (config.judge.max_pixels, config.judge.num_frames, config.judge.dialect) == (147456, 8, "v1")
    assert config.distill.tasks == ["image_generation"]
    assert (config.model.train_language, config.model.train_vision, config.model.train_projector) == (
        True,
        False,
        False,
    )


def test_paper_recipes_average_as_the_trainers_that_fine_tuned_them() -> None:
    for recipe, mean in (("paper_llava_7b", "sequences"), ("paper_qwen2_5_vl_7b", "tokens")):
        config = compose([f"recipe={recipe}"])
        assert (config.cold_start.mean, config.rejection_sampling.mean) == (mean, mean)
        assert not config.grpo.reasoning_floor, "the paper pays for an empty reasoning"


@pytest.mark.parametrize("recipe", ["paper_qwen2_5_vl_7b", "paper_llava_7b"])
def test_the_papers_grpo_falls_to_zero_on_a_line(recipe: str) -> None:
    """The released scripts set no schedule: transformers' default, step by step as its own scheduler gives it."""
    import torch
    from transformers import TrainingArguments, get_scheduler

    from urt_train.stages.module import learning_rate_share

    [default] = [field.default for field in fields(TrainingArguments) if field.name == "lr_scheduler_type"]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-6)
    assert isinstance(default, str)
    scheduler = get_scheduler(default, optimizer, num_warmup_steps=0, num_training_steps=10)
    expected = []
    for _ in range(10):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    grpo = compose([f"recipe={recipe}"]).grpo
    found = [
        grpo.learning_rate
        * learning_rate_share(
            step, num_steps=10, warmup_ratio=grpo.warmup_ratio, schedule=grpo.schedule, final=grpo.final_learning_rate
        )
        for step in range(10)
    ]
    assert found == pytest.approx(expected, rel=1e-12)
    assert sum(found) / 10 == pytest.approx(0.55e-6)


@pytest.mark.parametrize(
    ("recipe", "batch_size"),
    [("qwen3_vl_2b_lora_24gb", 8), ("qwen3_vl_8b", 32), ("paper_qwen2_5_vl_7b", 32), ("paper_llava_7b", 16)],
)
def test_a_large_judge_is_measured_in_batches_that_fit(recipe: str, batch_size: int) -> None:
    config = compose([f"recipe={recipe}"])
    assert (config.evaluation.batch_size, config.served_dtype) == (batch_size, "bfloat16")


def test_an_objective_wins_over_the_recipe() -> None:
    grpo = compose(["recipe=paper_qwen2_5_vl_7b", "objective=dapo", "grpo.clip_low=0.1"]).grpo
    assert isinstance(grpo, GRPOConfig)
    assert (grpo.kl_coef, grpo.clip_high, grpo.clip_low, grpo.aggregation) == (0.0, 0.28, 0.1, "dapo")
    assert grpo.learning_rate == 1e-6, "what the objective does not speak of stays the recipe's"


OBJECTIVE = ("advantages", "aggregation", "ratio", "surrogate", "clip_low", "clip_high", "kl_coef", "overlong_share", "resample_rounds")  # fmt: skip


@pytest.mark.parametrize(
    ("objective", "values"),
    [
        ("grpo", ("grpo", "grpo", "token", "clip", 0.2, 0.2, 0.04, 0.0, 0)),
        ("dr_grpo", ("dr_grpo", "dr_grpo", "token", "clip", 0.2, 0.2, 0.0, 0.0, 0)),
        ("dapo", ("grpo", "dapo", "token", "clip", 0.2, 0.28, 0.0, 0.2, 3)),
        ("gspo", ("grpo", "grpo", "sequence", "clip", 3e-4, 4e-4, 0.0, 0.0, 0)),
        ("cispo", ("grpo", "dapo", "token", "cispo", 1.0, 4.0, 0.0, 0.0, 0)),
    ],
)
@pytest.mark.parametrize("recipe", ["tiny", "qwen3_vl_8b"])
def test_an_objective_leaves_nothing_of_the_recipes_own(recipe: str, objective: str, values: tuple) -> None:
    grpo = compose([f"recipe={recipe}", f"objective={objective}"]).grpo
    assert tuple(getattr(grpo, name) for name in OBJECTIVE) == values


@pytest.mark.parametrize("engine", ["vllm", "vllm_server"])
def test_a_nucleus_is_refused_where_the_engine_counts_after_the_cut(engine: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"grpo\.top_p is 0\.95; allowed: 1\.0 with grpo\.engine={engine}, .*engine=transformers"
    ):
        compose(["recipe=paper_qwen2_5_vl_7b", f"engine={engine}"])
    assert compose(["recipe=paper_qwen2_5_vl_7b", f"engine={engine}", "grpo.top_p=1"]).grpo.engine == engine


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grpo.groupsize=4", r"there is no field grpo\.groupsize; did you mean group_size\? allowed: .*kl_coef"),
        ("colour=red", r"there is no field colour; .*allowed: recipe, "),
        ("grpo.group_size=many", r"grpo\.group_size is 'many'; allowed: a whole number"),
        ("grpo.group_size=1", r"grpo\.group_size is 1; allowed: 2 or more"),
        (
            "data=shards",
            r"data\.source is shards .*oracle.*; choose a recipe for own pairs, such as recipe=qwen3_vl_8b",
        ),
        ("grpo.engine=vllm_server", r"grpo\.vllm_servers is \[\]; allowed: one or more addresses"),
        (
            "grpo.vllm_servers=['gpu-1:8000']",
            r"grpo\.vllm_servers is .*; allowed: different addresses such as http://gpu",
        ),
        ("grpo.vllm_servers=['http://gpu-1:8000/v1']", r"grpo\.vllm_servers is .*; allowed: different addresses"),
        ("grpo.vllm_servers=['http://user:word@gpu-1']", r"grpo\.vllm_servers is .*; allowed: different addresses"),
        ("grpo.vllm_servers=['http://gpu-1:port']", r"grpo\.vllm_servers is .*; allowed: different addresses"),
        ("grpo.vllm_servers=['http://a','http://a']", r"grpo\.vllm_servers is .*; allowed: different addresses"),
        ("grpo.learning_rate=-1", r"grpo\.learning_rate is -1\.0; allowed: a number above 0"),
        ("grpo.learning_rate=nan", r"grpo\.learning_rate is nan; allowed: a number above 0"),
        ("stage=warm_start", r"stage is 'warm_start'; allowed: cold_start, dpo, grpo, internalise, rejection_sampling"),
        ("model=huge", r"model is 'huge'; allowed: .*tiny"),
        ("grpo.batching=packed", r"grpo\.batching is 'packed'; allowed: padded, shared_prefix"),
        ("model.attention=flex_attention", r"model\.attention is 'flex_attention'; allowed: sdpa, .*flex$"),
        ("judge.dialect=v3", r"judge\.dialect is 'v3'; allowed: v1, v2, direct"),
        ("cold_start.tasks=[cooking]", r"cold_start\.tasks is .*cooking.*; allowed: one or more of image_generation"),
        (
            "grpo.rewards.beauty=1",
            r"reward is 'beauty'; allowed: format, accuracy, consistency, confidence, or an import path",
        ),
        ("grpo.order_baseline=random", r"grpo\.order_baseline is .*random.*; allowed: both, given"),
        (
            "grpo.rewards={format: 0, accuracy: 0, consistency: 0}",
            r"grpo\.rewards is .*; allowed: another weight than 0",
        ),
        ("data.counts.train.cooking=5", r"data\.counts\.train names the task 'cooking'; allowed: image_generation"),
        ("stage=STAGE", r"stage is 'STAGE'; allowed: cold_start, dpo, grpo, internalise, rejection_sampling$"),
        ("recipe=../up", r"recipe is '\.\./up'; allowed"),
        ("trainer.precision=fp8", r"trainer\.precision is 'fp8'; allowed: 32-true, bf16-mixed"),
        ("grpo.steps_per_rollout=7", r"grpo\.steps_per_rollout is 7; allowed: a divisor of grpo\.prompts_per_rollout"),
        ("grpo.group_size=", r"grpo\.group_size"),
        ("=", r"."),
    ],
)
def test_a_mistake_names_field_and_allowed_values(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        compose([override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ("grpo.batching=padded", r"grpo\.batching is padded; allowed with padded: sdpa, eager, flash_attention_2"),
        ("trainer.accelerator=cpu", r"FlexAttention has no backward pass; allowed on a CPU: sdpa, eager"),
    ],
)
def test_flex_is_refused_where_it_cannot_serve(beside: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose([beside, "model.attention=flex"])


def test_the_meaning_of_a_field_is_one_text():
    """Its docstring may go over several lines in the source."""
    meanings = [line.strip() for line in describe(train_config()).split("\n") if line.startswith("    ")]
    assert not [line for line in meanings if "  " in line]


def test_an_unknown_set_is_answered_with_the_sources():
    with pytest.raises(
        ConfigError,
        match=r"data is 'hpdv9'; allowed: shards, sprites, sprites_instant; .*source is one of: evalmuse, .*hpdv3, ",
    ):
        compose(["data=hpdv9"])


def test_every_field_is_documented():
    lines = describe(train_config()).split("\n")
    undocumented = [name for name, meaning in pairwise(lines) if " = " in name and not meaning.strip()]
    assert not undocumented
    assert "    Completions per prompt (G)." in lines


@pytest.mark.parametrize(
    ("typed", "rewards"),
    [
        ("grpo.rewards.accuracy=0.5", {"format": 1.0, "accuracy": 0.5, "consistency": 1.0}),
        ("grpo.rewards={accuracy: 2}", {"accuracy": 2.0}),
        ("+grpo.rewards.urt_core.rewards:format_reward=-1e-1", {
            "format": 1.0, "accuracy": 1.0, "consistency": 1.0, "urt_core.rewards:format_reward": -0.1,
        }),
    ],
)  # fmt: skip
def test_an_entry_of_a_mapping_is_typed_like_a_field_and_a_mapping_replaces_it(typed: str, rewards) -> None:
    assert compose([typed]).grpo.rewards == rewards


def test_counts_are_typed_as_a_mapping() -> None:
    counts = compose(["data.counts.train={image_generation: 8000}", "data.counts.pool.image_generation=7"]).data.counts
    assert counts["train"] == {"image_generation": 8000}
    assert counts["pool"]["image_generation"] == 7
    assert counts["pool"]["video_generation"] == 600


def test_a_stage_is_named_by_its_import_path_and_has_a_section_of_its_own() -> None:
    config = compose(["stage=tests.urt_train.stages.own_stage:SPEC", "echo.batch_size=3"])
    assert (config.stage, config.echo.batch_size, config.stage_config.plan(num_ranks=1).records_per_rank) == (
        "echo",
        3,
        3,
    )


def test_stages_of_a_pipeline_are_named_by_import_path_too():
    """Each is a section of the config, whichever of them a command runs."""
    config = compose(["stages=[cold_start, tests.urt_train.stages.own_stage:SPEC]", "echo.batch_size=3"])
    assert config.stages == ["cold_start", "echo"]
    assert config.echo.batch_size == 3
    with pytest.raises(ConfigError, match=r"stage 'tests\.urt_train\.stages\.own_stage:NONE': .* has no 'NONE'"):
        compose(["stages=[cold_start,tests.urt_train.stages.own_stage:NONE]"])
