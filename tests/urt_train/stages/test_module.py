"""The norm of the gradient: clipped and refused before the step; under DeepSpeed read behind it, or missing."""

import math
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import Trainer

from urt_train.errors import NonFiniteError
from urt_train.runtime.callbacks import StepMetrics, read_rows
from urt_train.stages.cold_start.config import ColdStartConfig
from urt_train.stages.cold_start.module import ColdStart


@pytest.fixture
def module(policy):
    config = ColdStartConfig(batch_size=1)
    return ColdStart(policy, config, plan=config.plan(num_ranks=1), num_steps=3)


def attach(module, **strategy) -> None:
    module._trainer = SimpleNamespace(strategy=SimpleNamespace(**strategy), global_step=4)


def deepspeed(norm) -> dict:
    engine = SimpleNamespace(get_global_grad_norm=lambda: norm)
    return {"handles_gradient_accumulation": True, "deepspeed_engine": engine}


class Optimizer:
    def __init__(self) -> None:
        self.num_steps = 0

    def step(self, closure=None) -> None:
        self.num_steps += 1


def test_the_norm_is_that_before_clipping(module):
    attach(module, handles_gradient_accumulation=False)
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    optimizer = SimpleNamespace(param_groups=[{"params": [parameter]}])
    module.configure_gradient_clipping(optimizer)
    assert module.grad_norm == 5.0
    assert parameter.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-5)
    parameter.grad = torch.tensor([math.nan, 1.0])
    with pytest.raises(NonFiniteError, match=r"norm is nan in optimizer step 5; nothing was updated"):
        module.configure_gradient_clipping(optimizer)


@pytest.mark.parametrize(("told", "kept"), [(torch.tensor(2.5), 2.5), (0.0, 0.0), (None, None)])
def test_deepspeed_is_asked_behind_its_step(module, told, kept):
    attach(module, **deepspeed(told))
    optimizer = Optimizer()
    module.configure_gradient_clipping(optimizer)
    assert module.grad_norm is None
    module.optimizer_step(0, 0, optimizer, lambda: None)
    assert optimizer.num_steps == 1
    assert module.grad_norm == kept


@pytest.mark.parametrize("told", [math.inf, math.nan, -1.0])
def test_what_deepspeed_calls_not_finite_ends_the_run(module, told):
    attach(module, **deepspeed(told))
    with pytest.raises(
        NonFiniteError, match=r"in optimizer step 5; DeepSpeed told it behind its step, the weights of now"
    ):
        module.optimizer_step(0, 0, Optimizer(), lambda: None)


def test_a_missing_norm_is_a_missing_cell(module, tmp_path):
    metrics = StepMetrics(tmp_path / "metrics.csv", title="test")
    trainer = Mock(spec=Trainer, accumulate_grad_batches=1, global_step=1, is_global_zero=True, loggers=[])
    for norm in (None, 2.5):
        module.grad_norm = norm
        module.add(
            loss=1.0, num_tokens=4.0, num_right_tokens=1.0, num_sequences=1.0, prompt_tokens=9.0, num_left_out=0.0
        )
        metrics.on_train_batch_end(trainer, module, None, None, 0)
        trainer.global_step += 1
    without, with_norm = read_rows(tmp_path / "metrics.csv")
    assert "grad_norm" not in without
    assert with_norm["grad_norm"] == 2.5
