"""The workspaces that follow from the block sizes, against the memory that a trainer can spare."""

import pytest

from urt_kernels.tuning import chunked_backward, chunked_forward, fused_forward

HEADS = {"Qwen2.5-VL-7B": (152064, 3584), "Qwen3-VL-8B": (151936, 4096), "Gemma-like": (262144, 5120)}


@pytest.mark.parametrize("head", HEADS)
def test_workspaces_stay_within_their_budget(head):
    """No size depends on the number of tokens, so neither does the memory: 64 MB forward, 512 MB for gradients."""
    vocabulary, size = HEADS[head]
    forward, backward = chunked_forward(vocabulary, 2), chunked_backward(vocabulary)
    block, last_chunk = forward.rows * forward.columns * 4, forward.rows * size * 2
    assert block + last_chunk <= 64e6
    exponentials, sums = forward.rows * vocabulary * 2, forward.rows * size * 4
    assert block + last_chunk + exponentials + sums <= 512e6
    logits_and_gradient, hidden_sums = backward.rows * backward.columns * (4 + 2), backward.rows * size * (4 + 2)
    assert logits_and_gradient + hidden_sums <= 512e6


def test_splits_of_the_fused_forward_are_those_of_the_vocabulary():
    assert [fused_forward(vocabulary).num_splits for vocabulary in (1, 256, 257, 151936)] == [1, 1, 2, 16]
