"""LLaVA-OneVision through training: packed rows are padded rows are each completion alone, and whole stages end in a
judge that opens."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoProcessor

from tests.llava_onevision import make_llava_onevision
from tests.urt_train.layouts import assert_layouts_agree, group_batch, in_float64
from urt_core import Dialect, SamplingParams, Scorer, render
from urt_core.bench.evaluation import evaluate
from urt_core.engines.model.encoding import chat_text
from urt_core.errors import EngineError
from urt_core.media import prompt_frames
from urt_data import ShardWriter
from urt_train.config import (
    Batching,
    DataConfig,
    JudgeConfig,
    LoraConfig,
    ModelConfig,
    RolloutEngine,
    TrainConfig,
    TrainerConfig,
)
from urt_train.experiment.run import open_policy, run_stage
from urt_train.experiment.steps import initial_model
from urt_train.model.batching import TokenBatch, expand_prompts, images_of_prompts, pack_completions, select_prompts
from urt_train.model.export import export_judge
from urt_train.model.lora import add_adapters
from urt_train.model.packed import shared_prefix
from urt_train.model.policy import Policy
from urt_train.runtime.callbacks import read_rows
from urt_train.stages import train_config
from urt_train.stages.cold_start.config import ColdStartConfig
from urt_train.stages.grpo import module as grpo
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.engine import rollout_engine

QUIET = Console(file=io.StringIO())
ROWS = [[[10, 20, 30, 2], [40, 2]], [[50, 60, 2], [70, 80, 90]], [[100, 2], [110]]]  # 2 is the EOS


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_llava_onevision(tmp_path_factory.mktemp("llava_onevision"))


@pytest.fixture
def policy(folder, spec) -> Policy:
    return Policy.from_pretrained(folder, spec=spec)


@pytest.fixture
def mixed(records):
    """Two images of different sizes, an image in tiles, two videos of two frames."""
    return [records[0], records[2], records[1]]


@pytest.mark.parametrize("batching", list(Batching))
def test_log_probs_are_those_of_each_row_alone(policy, mixed, batching):
    policy.batching = batching
    prompts = [render(record, policy.spec.dialect) for record in mixed]
    ids, mask = pack_completions(ROWS)
    batch = TokenBatch(prompts=policy.encode(prompts), completion_ids=ids, completion_mask=mask)
    assert batch.prompts["batch_num_images"].tolist() == [2, 1, 4]
    assert batch.prompts["pixel_values"].shape[1] > 1, "an image is cut into tiles"
    result = policy.token_logprobs(batch, temperature=0.5)
    for number, prompt in enumerate(prompts):
        alone = policy.encode([prompt])
        images = {name: alone[name] for name in ("pixel_values", "image_sizes", "batch_num_images")}
        for completion, tokens in enumerate(ROWS[number]):
            row = torch.cat([alone["input_ids"], torch.tensor([tokens])], dim=1)
            logits = policy.model(input_ids=row, **images).logits[0, -len(tokens) - 1 : -1] / 0.5
            expected = logits.log_softmax(-1).gather(-1, torch.tensor(tokens)[:, None])[:, 0]
            found = result.logprobs[number, completion, : len(tokens)]
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_packed_rows_are_padded_rows(policy, mixed):
    assert_layouts_agree(policy, group_batch(policy, mixed, group_size=3), tolerance=1e-5)


def test_a_packed_row_makes_no_mask_of_all_its_tokens(policy, mixed, monkeypatch):
    """Positions of one axis that begin again are what transformers takes for packed sequences."""
    masks = []
    attention = shared_prefix.shared_prefix_attention

    def seen(module, query, key, value, mask, **settings):
        masks.append(mask)
        return attention(module, query, key, value, mask, **settings)

    monkeypatch.setattr(shared_prefix, "shared_prefix_attention", seen)
    policy.batching = Batching.shared_prefix
    policy.token_logprobs(group_batch(policy, mixed, group_size=2))
    assert masks == [None, None]


def test_packed_rows_are_padded_rows_in_float64_with_adapters_and_checkpointing(policy, mixed, monkeypatch):
    pytest.importorskip("peft")
    add_adapters(policy.model, LoraConfig(rank=2, alpha=4.0))
    in_float64(policy, monkeypatch)
    policy.train().model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert_layouts_agree(policy, group_batch(policy, mixed[:2], group_size=2), tolerance=1e-10)


@pytest.mark.parametrize("batching", list(Batching))
def test_engine_and_trainer_agree(policy, mixed, batching):
    policy.batching = batching
    prompts = [render(record, policy.spec.dialect) for record in mixed]
    sampling = SamplingParams(temperature=0.8, max_tokens=12, seed=3, num_completions=3, logprobs=True)
    groups = policy.engine().generate(prompts, sampling)
    ids, mask = pack_completions([[completion.token_ids for completion in group] for group in groups])
    batch = TokenBatch(prompts=policy.encode(prompts), completion_ids=ids, completion_mask=mask)
    trainer = policy.token_logprobs(batch, temperature=0.8).logprobs
    for number, group in enumerate(groups):
        for column, completion in enumerate(group):
            expected = torch.tensor(completion.logprobs)
            torch.testing.assert_close(trainer[number, column, : len(expected)], expected, rtol=1e-4, atol=1e-4)


def test_selected_prompts_are_those_encoded_alone(policy, records):
    prompts = [render(record, policy.spec.dialect) for record in records]
    whole = policy.encode(prompts)
    frames = [sum(len(media.files) for media in prompt.media) for prompt in prompts]
    assert [len(own) for own in images_of_prompts(whole)] == frames
    for chosen in ([7, 0, 2], [1, 0]):
        selected, alone = select_prompts(whole, chosen), policy.encode([prompts[row] for row in chosen])
        tiles = alone["pixel_values"].shape[1]
        assert torch.equal(selected["pixel_values"][:, :tiles], alone["pixel_values"])
        assert not selected["pixel_values"][:, tiles:].any()
        assert torch.equal(selected["image_sizes"], alone["image_sizes"])
        assert torch.equal(selected["batch_num_images"], alone["batch_num_images"])
    assert tiles == selected["pixel_values"].shape[1] == 1, "no padding where no image stands alone"
    again, expanded = select_prompts(whole, [1, 1, 2, 2]), expand_prompts(select_prompts(whole, [1, 2]), 2)
    assert all(torch.equal(expanded[name], tensor) for name, tensor in again.items())


def test_whatever_learns_gets_a_gradient(policy, mixed):
    """DDP waits for the gradient of everything that learns."""
    policy.select_trainable(language=True, vision=True, projector=True)
    policy.token_logprobs(group_batch(policy, mixed, group_size=2)).logprobs.sum().backward()
    assert [name for name, part in policy.named_parameters() if part.requires_grad and part.grad is None] == []
    policy.select_trainable(language=True, vision=False, projector=False)
    assert not any("vision" in name for name, part in policy.named_parameters() if part.requires_grad)


def test_the_projector_is_all_that_maps_features_to_text(policy):
    def learning(**parts: bool) -> set[str]:
        policy.select_trainable(**parts)
        names = [name for name, parameter in policy.model.named_parameters() if parameter.requires_grad]
        return {name.removeprefix("model.").partition(".")[0] for name in names}

    assert learning(language=True, vision=False, projector=False) == {"language_model", "lm_head"}
    assert learning(language=False, vision=False, projector=True) == {"multi_modal_projector", "image_newline"}
    assert learning(language=False, vision=True, projector=False) == {"vision_tower"}


@pytest.fixture
def config(tmp_path, folder, records) -> TrainConfig:
    splits: dict[str, Any] = {split: str(tmp_path / "data" / split) for split in ("train", "cold_start", "hard")}
    for path in splits.values():
        with ShardWriter(path) as shards:
            for record in records[:4]:
                shards.write(record)
    return train_config()(
        recipe="test",
        output_root=str(tmp_path / "out"),
        judge=JudgeConfig(min_pixels=32 * 32, max_pixels=48 * 48, num_frames=2),
        model=ModelConfig(base=str(folder), gradient_checkpointing=True),
        data=DataConfig(**splits),
        trainer=TrainerConfig(accelerator="cpu", progress_bar=False),
        cold_start=ColdStartConfig(
            max_completion_tokens=160, micro_batch_size=2, batch_size=4, learning_rate=1e-3, max_steps=1
        ),
        grpo=GRPOConfig(
            prompts_per_rollout=2,
            group_size=4,
            micro_batch_size=4,
            max_completion_tokens=8,
            max_steps=1,
            learning_rate=1e-3,
            kl_coef=0.04,
        ),
    )


def test_cold_start_then_grpo_then_a_judge_that_opens(config, records, monkeypatch):
    """A random model earns nothing, so the reward is made of what it sampled."""
    score = grpo.score

    def scored(shown, groups, *arguments, **settings):
        rewards = score(shown, groups, *arguments, **settings)
        for prompt, group in enumerate(groups):
            for number, completion in enumerate(group):
                rewards.values[prompt, number, 0] = sum(completion.token_ids) % 7
        return rewards

    monkeypatch.setattr(grpo, "score", scored)
    cold = run_stage(replace(config, stage="cold_start"))
    model = run_stage(replace(config, stage="grpo", grpo=replace(config.grpo, initial=str(cold))))
    weights = [load_file(folder / "model.safetensors") for folder in (Path(config.model.base), cold, model)]
    for run, before, after in zip((cold, model), weights, weights[1:], strict=False):
        [row] = read_rows(run.parent / "metrics.csv")
        assert row["grad_norm"] > 0
        learned = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
        assert learned
        assert not any("vision_tower" in name or "projector" in name or "newline" in name for name in learned)
    scorer = Scorer.from_pretrained(model, sampling=SamplingParams(max_tokens=4))
    assert scorer.dialect is Dialect.V1
    engine: Any = scorer.engine
    result = evaluate(engine, records[:2], sampling=SamplingParams(max_tokens=4), console=QUIET)
    assert {pair.key for pair in result.judged} == {record.key for record in records[:2]}


def test_an_exported_judge_gives_the_same_log_probs(policy, mixed, spec, tmp_path):
    batch = group_batch(policy, mixed, group_size=2)
    exported = Policy.from_pretrained(export_judge(policy, tmp_path / "model"), spec=spec)
    found = exported.token_logprobs(group_batch(exported, mixed, group_size=2)).logprobs
    torch.testing.assert_close(found, policy.token_logprobs(batch).logprobs, rtol=0, atol=0)


def test_transformers_own_processor_opens_an_exported_judge_and_encodes_as_we_do(policy, mixed, tmp_path):
    pytest.importorskip("torchvision", reason="the composed processor of LLaVA-OneVision needs torchvision")
    processor = AutoProcessor.from_pretrained(export_judge(policy, tmp_path / "model"))
    prompts = [render(record, policy.spec.dialect) for record in mixed]
    frames = [prompt_frames(prompt, policy=policy.media_policy) for prompt in prompts]
    texts = [
        chat_text(policy.tokenizer, prompt, num_frames=[len(images) for images in media])
        for prompt, media in zip(prompts, frames, strict=True)
    ]
    images = [[image for medium in media for image in medium] for media in frames]
    theirs = processor(text=texts, images=images, padding=True, padding_side="left", return_tensors="pt")
    ours = policy.encode(prompts)
    for name in ("input_ids", "attention_mask", "pixel_values", "image_sizes", "batch_num_images"):
        assert torch.equal(ours[name], theirs[name]), name


@pytest.mark.parametrize("engine", [RolloutEngine.vllm, RolloutEngine.vllm_server])
def test_rollouts_by_vllm_are_refused_before_it_starts(config, engine):
    servers = ["http://localhost:1"] if engine is RolloutEngine.vllm_server else []
    sampling = replace(config.grpo, initial=config.model.base, engine=engine, vllm_servers=servers)
    config = replace(config, stage="grpo", grpo=sampling)
    policy = open_policy(config, initial_model(config, config.stage))
    with pytest.raises(EngineError, match=r"vLLM cuts every image of a LLaVA-OneVision prompt"):
        rollout_engine(sampling, policy, initial="", folder=config.stage_dir(), dtype="float32")
