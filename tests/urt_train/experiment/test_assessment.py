"""A checkpoint is judged in the type it is served in; results in another type are other results."""

import pytest
import torch
from safetensors.torch import load_file

from urt_core import SamplingParams, render
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.errors import ConfigError
from urt_data import ShardWriter
from urt_train.config import EvaluationConfig, ModelConfig, TrainerConfig
from urt_train.experiment.assessment import Plan, assess, held_out, open_engine, saved_assessment
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
    groups = engine.generate(  # pyright: ignore[reportAttributeAccessIssue]
        [render(record, spec.dialect) for record in records[:4]], SamplingParams(max_tokens=4)
    )
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


def test_a_judge_that_is_served_is_measured_where_it_is_served(tmp_path, tiny_folder, spec, records):
    """The endpoint always names the first: half right over both orders, and all picks are the first."""
    (tmp_path / "judge").mkdir()
    spec.save(tmp_path / "judge")
    with ShardWriter(tmp_path / "test") as shards:
        for record in records[:5]:
            shards.write(record)

    def first(request):
        words = str(request.json["messages"])
        noun = next(noun for noun in ("Answer", "Video", "Image") if f"{noun} 1" in words)
        return chat_reply(
            f"<think>\n1. Quality: {noun} 1 (9/10) - a; {noun} 2 (5/10) - b\n</think>\n<answer>{noun} 1 is better</answer>"
        )

    with ScriptedEndpoint(script=first) as endpoint:
        config = train_config()(
            output_root=str(tmp_path / "out"),
            model=ModelConfig(base=str(tiny_folder)),
            evaluation=EvaluationConfig(engine="openai", base_url=endpoint.base_url, dialects=["judge"]),
        )
        config.data.test = str(tmp_path / "test")
        result = assess(config, str(tmp_path / "judge"))["test"]
        assert endpoint.num_requests == 10
        assert saved_assessment(config, str(tmp_path / "judge")) == {"test": result}
    row = result.row(spec.dialect)
    assert row.n_total == 5
    assert result.data["engine"] == "openai"
    config.evaluation = EvaluationConfig(dialects=["judge"])
    assert saved_assessment(config, str(tmp_path / "judge")) is None, "of another engine"


def test_an_endpoint_and_its_address_belong_together():
    with pytest.raises(ConfigError, match=r"evaluation\.engine is openai and evaluation.base_url is None"):
        EvaluationConfig(engine="openai")
    with pytest.raises(ConfigError, match=r"engine is transformers and evaluation\.base_url is http"):
        EvaluationConfig(base_url="http://localhost:8000/v1")
    with pytest.raises(ConfigError, match="nothing for transformers; they are for vllm and openai"):
        EvaluationConfig(engine_options={"concurrency": 4})
