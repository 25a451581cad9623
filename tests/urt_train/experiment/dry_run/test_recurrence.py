"""The stand-in of the recurrent layers: shapes of the true function, and the bytes that fla keeps for the backward pass."""

import pytest
import torch
from transformers.models.qwen3_5 import modeling_qwen3_5

from urt_train.experiment.dry_run.recurrence import CHUNK, NAME, fused_recurrence

ROWS, TOKENS, HEADS, KEYS, WIDTH = 2, 130, 4, 16, 8


def inputs() -> list[torch.Tensor]:
    shapes = [(ROWS, TOKENS, HEADS, KEYS)] * 2 + [(ROWS, TOKENS, HEADS, WIDTH)] + [(ROWS, TOKENS, HEADS)] * 2
    return [torch.rand(shape, requires_grad=True) for shape in shapes]


def test_inside_of_the_block_its_shapes_are_those_of_the_true_function():
    true = getattr(modeling_qwen3_5, NAME)
    query, key, value, gate, beta = inputs()
    expected, state = true(query, key, value, -gate, beta, output_final_state=True)
    with fused_recurrence():
        found, its_state = getattr(modeling_qwen3_5, NAME)(query, key, value, -gate, beta, output_final_state=True)
    assert getattr(modeling_qwen3_5, NAME) is true, "and behind it, it is the true one again"
    assert (found.shape, its_state.shape) == (expected.shape, state.shape)
    assert its_state.dtype is torch.float32
    found.backward(torch.ones_like(found))
    assert all(tensor.grad is not None and tensor.grad.shape == tensor.shape for tensor in (query, key, value, beta))


def test_an_error_inside_leaves_the_true_function():
    true = getattr(modeling_qwen3_5, NAME)

    def fail() -> None:
        with fused_recurrence():
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert getattr(modeling_qwen3_5, NAME) is true


def test_it_keeps_what_fla_keeps():
    """Normalised queries and keys with a norm for each, values, summed gates, beta, an inverse of CHUNK for each token."""
    kept: list[torch.Tensor] = []
    with (
        fused_recurrence(),
        torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor),
    ):
        getattr(modeling_qwen3_5, NAME)(*inputs())
    a_token = 2 * KEYS + 2 + WIDTH + 1 + 1 + CHUNK
    assert sum(tensor.numel() for tensor in kept) == ROWS * TOKENS * HEADS * a_token
