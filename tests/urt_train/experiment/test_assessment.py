"""A checkpoint is judged in the type it is served in; results in another type are other results."""

import pytest
import torch
from safetensors.torch import load_file

from urt_core import SamplingParams, render
from urt_data import ShardWriter
from urt_train.config import EvaluationConfig, ModelConfig, TrainerConfig
from urt_train.experiment.assessment import Plan, held_out, open_engine
from urt_train.stages import train_config


@pytest.mark.parametrize(
    ("precision", "stored", "served"),
    [("32-true", "float32", "float32"), ("bf16-mixed", "float32", "bfloat16"), ("32-true", "bfloat16", "bfloat16")],
)
def test_weights_are_opened_in_the_type_of_the_run(tiny_folder, spec, records, precision, stored, served):
    config = train_config()(
        model=ModelConfig(base=str(tiny_folder), dtype=stored),
        trainer=TrainerConfig(accelerator="cpu", precision=precision),
        evaluation=EvaluationConfig(batch_size=2),
    )
    engine = open_engine(config, str(tiny_folder), spec)
    dtype = getattr(torch, served)
    weights = load_file(tiny_folder / "model.safetensors")
    found = engine.module.state_dict()  # pyright: ignore[reportAttributeAccessIssue]
    assert all(torch.equal(found[name], weight.to(dtype)) for name, weight in weights.items())
    groups = engine.generate([render(record, spec.dialect) for record in records[:4]], SamplingParams(max_tokens=4))
    assert [len(completion.token_ids) > 0 for (completion,) in groups] == [True] * 4


def test_a_result_in_another_type_is_another_result(tmp_path, tiny_folder, spec, records):
    with ShardWriter(tmp_path / "test") as shards:
        shards.write(records[0])
    config = train_config()(model=ModelConfig(base=str(tiny_folder)))
    config.data.test = str(tmp_path / "test")
    before = Plan(config, str(tiny_folder), spec).data(held_out(config, "test"), "test")
    config.trainer.precision = "bf16-mixed"
    after = Plan(config, str(tiny_folder), spec).data(held_out(config, "test"), "test")
    assert {name for name in before if before[name] != after[name]} == {"dtype"}
