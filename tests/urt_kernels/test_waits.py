"""What the GPU paths do on the host: none of it asks for a value of the device, which would wait for it.

Run on meta tensors, which have no values: reading one (`item`, `tolist`, `nonzero`, a bool) raises.
"""

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from urt_kernels import (
    group_advantages,
    grpo_loss,
    linear_distillation_loss,
    linear_loss,
    linear_token_logprobs,
    linear_top_k_distillation_loss,
    token_logprobs,
)

pytestmark = pytest.mark.usefixtures("no_type_checks")


def operands(dtype: torch.dtype = torch.bfloat16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    hidden, weight = torch.empty(2, 300, 64, dtype=dtype), torch.empty(5000, 64, dtype=dtype)
    return hidden.requires_grad_(), weight.requires_grad_(), torch.empty(2, 300, dtype=torch.int64)


def rollout() -> dict[str, Any]:
    return {"rollout_logprobs": torch.empty(2, 300), "advantages": torch.empty(2)}


@pytest.mark.parametrize("entropy_coef", [0.0, 0.1])
@pytest.mark.parametrize("into", [False, True])
def test_the_one_pass(launches, entropy_coef, into):
    buffer = torch.empty(5000, 64) if into else None
    result = linear_loss(
        *operands(), surrogate="clip", **rollout(), kl_coef=0.1, reference_logprobs=torch.empty(2, 300),
        entropy_coef=entropy_coef, weight_grad=buffer, temperature=0.7, validate_targets=False, impl="triton",
    )  # fmt: skip
    assert result.sums is not None
    assert set(launches) == {"statistics_kernel", "exponentials_gradient_kernel", "loss_kernel"}


def test_log_probs_and_their_gradient(launches):
    hidden, weight, targets = operands()
    found = linear_token_logprobs(
        hidden, weight, targets, temperature=0.7, entropy=True, validate_targets=False, impl="triton"
    )
    assert launches
    backward = torch.no_grad()(
        import_module("urt_kernels.linear_logprobs.op").linear_token_logprobs_backward_op._init_fn
    )
    flat = found.logprobs.reshape(-1)
    backward(
        flat, flat, flat, hidden.reshape(-1, 64), weight, None, targets.reshape(-1), flat, flat, flat,
        0.7, None, 1.0, None, None, None, True, True, False, "triton",
    )  # fmt: skip
    assert "gradient_kernel" in launches


def test_log_probs_of_logits(launches):
    logits, targets = torch.empty(3, 5000, dtype=torch.bfloat16), torch.empty(3, dtype=torch.int64)
    found = token_logprobs(logits, targets, temperature=0.7, entropy=True, validate_targets=False, impl="triton")
    backward = import_module("urt_kernels.logprobs.op").token_logprobs_backward_op._init_fn
    rows = found.logprobs
    backward(rows, rows, rows, logits, targets, rows, rows, rows, 0.7, None, "triton")
    assert launches == ["forward_kernel", "backward_kernel"]


def test_loss_and_advantages(launches):
    group_advantages(torch.empty(8, 4), group_size=4, impl="triton")
    mask = torch.empty(2, 300, dtype=torch.bool)
    grpo_loss(torch.empty(2, 300), **rollout(), completion_mask=mask, impl="triton")
    assert launches == ["advantages_kernel", "loss_kernel"]


@pytest.mark.parametrize("divergence", ["forward_kl", "jsd"])
def test_distillation(launches, divergence):
    hidden, weight, targets = operands()
    linear_distillation_loss(hidden, weight, hidden, weight, temperature=0.7, divergence=divergence, impl="triton")
    listed = targets[..., None].expand(2, 300, 8)
    linear_top_k_distillation_loss(hidden, weight, listed, torch.empty(2, 300, 8), temperature=0.7, impl="triton")
    assert set(launches) == {"divergence_kernel", "top_k_kernel"}


def test_a_mask_waits(launches):
    """As docs/kernels.md says: the number of its rows is data."""
    mask = torch.empty(2, 300, dtype=torch.bool)
    with pytest.raises(NotImplementedError, match="nonzero"):
        linear_loss(*operands(), surrogate="nll", mask=mask, temperature=0.7, validate_targets=False, impl="triton")


def test_each_captured_graph_has_a_counter_of_its_own(launches, monkeypatch):
    """Two graphs may be replayed at once; outside of a capture a stream's calls follow each other and share one."""
    module = import_module("urt_kernels.policy_loss.triton")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: SimpleNamespace(cuda_stream=7))
    device = torch.device("cuda")
    with FakeTensorMode():
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
        assert module._counter(device) is module._counter(device)
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        assert module._counter(device) is not module._counter(device)
    assert list(module._counters) == [(device, 7)]
