"""A mixture of experts, of the architecture of Qwen3-VL-30B-A3B: packed rows, adapters, and a stage by its own recipe."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.urt_train.layouts import assert_layouts_agree, group_batch, in_float64
from urt_core.engines.model.folder import write_sums
from urt_data import ShardWriter
from urt_train.cli import compose
from urt_train.config import LoraConfig
from urt_train.experiment.run import run_stage
from urt_train.model.export import export_judge
from urt_train.model.lora import add_adapters
from urt_train.model.policy import Policy
from urt_train.runtime.callbacks import read_rows


@pytest.fixture
def experts(tiny_folder, spec) -> Policy:
    """The tiny Qwen3-VL with four experts, two of them a token, in the place of each MLP."""
    from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration

    dense = Policy.from_pretrained(tiny_folder, spec=spec)
    settings = dense.model.config.to_dict()
    text = settings["text_config"] | {
        "model_type": "qwen3_vl_moe_text",
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
    }
    vision = settings["vision_config"] | {"model_type": "qwen3_vl_moe_vision"}
    ids = {name: value for name, value in settings.items() if name.endswith("token_id")}
    torch.manual_seed(0)
    model = Qwen3VLMoeForConditionalGeneration(
        Qwen3VLMoeConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, 0.5 / parameter[0].numel() ** 0.5)
    model.generation_config = dense.model.generation_config
    return Policy(model, dense.tokenizer, dense.image_processor, spec=spec)


def test_packed_rows_are_padded_ones(experts, records, monkeypatch):
    experts.model.set_experts_implementation("eager")  # the fused one has no float64
    in_float64(experts, monkeypatch)
    batch = group_batch(experts, records[:3], group_size=2, lengths=[[9, 3], [2, 0], [5, 1]])
    assert_layouts_agree(experts, batch, tolerance=1e-10)


def test_adapters_reach_attention_and_leave_experts(experts):
    """The experts of a layer are one parameter, which no adapter of a linear layer fits."""
    experts.select_trainable(language=True, vision=False, projector=False)
    add_adapters(experts.model, LoraConfig(rank=2))
    learns = {name for name, parameter in experts.model.named_parameters() if parameter.requires_grad}
    assert learns
    assert all("self_attn" in name and ".lora_" in name for name in learns)


@pytest.mark.parametrize("recipe", ["qwen3_vl_30b_a3b", "qwen3_vl_32b"])
def test_its_recipe_trains_a_tiny_one(experts, tiny_folder, records, tmp_path, recipe):
    base = tiny_folder
    if recipe == "qwen3_vl_30b_a3b":
        base = export_judge(experts, tmp_path / "base")
        (base / "judge.json").unlink()
        write_sums(base)
    with ShardWriter(tmp_path / "pairs") as shards:
        for record in records:
            shards.write(record)
    config = compose(
        [
            f"recipe={recipe}", "stage=cold_start", f"model.base={base}", f"output_root={tmp_path / 'out'}", "strategy=auto",
            "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.progress_bar=false", "logger={}",
            f"data.cold_start={tmp_path / 'pairs'}", f"data.train={tmp_path / 'pairs'}", "cold_start.batch_size=4",
            "cold_start.max_steps=2", "cold_start.learning_rate=1e-3", "judge.min_pixels=1024", "judge.max_pixels=2304",
        ]
    )  # fmt: skip
    model = run_stage(config)
    assert [row["step"] for row in read_rows(model.parent / "metrics.csv")] == [1, 2]
    trained, before = load_file(model / "model.safetensors"), load_file(Path(base) / "model.safetensors")
    assert trained.keys() == before.keys(), "a server finds the names that it knows"
    moved = {name for name, tensor in trained.items() if not torch.equal(tensor, before[name].to(tensor.dtype))}
    assert any("experts" in name for name in moved) == (recipe == "qwen3_vl_30b_a3b")
    assert run_stage(replace(config)) == model, "finished, and left alone"
