"""The workspaces that follow from the block sizes, against the memory that a trainer can spare."""

import pytest

from urt_kernels.tuning import chunked_backward, chunked_forward, fused_forward, one_pass

HEADS = {"Qwen2.5-VL-7B": (152064, 3584), "Qwen3-VL-8B": (151936, 4096), "Gemma-like": (262144, 5120)}


@pytest.mark.parametrize("head", HEADS)
def test_workspaces_stay_within_their_budget(head):
    """No size depends on the number of tokens, so neither does the memory: 64 MiB forward, 0.5 GiB for gradients, and
    for the one pass 1.4 GiB, less than the fp32 weight gradient that it saves another reading of."""
    vocabulary, size = HEADS[head]
    forward, backward = chunked_forward(vocabulary), chunked_backward(vocabulary)
    assert forward.rows * forward.columns * 4 + forward.rows * size * 2 <= 2**26 + 2**24
    logits_and_gradient, hidden_sums = backward.rows * backward.columns * (4 + 2), backward.rows * size * (4 + 2)
    assert logits_and_gradient + hidden_sums <= 2**29
    for trains_weight, budget in ((True, 1.4 * 2**30), (False, 0.6 * 2**30)):
        plan = one_pass(vocabulary, 2, trains_weight=trains_weight)
        kept, block, hidden = plan.rows * vocabulary * 2, plan.rows * plan.columns * 4, plan.rows * size * (4 + 2)
        assert kept + block + hidden <= budget
    assert one_pass(vocabulary, 2, trains_weight=True).rows * 2 * vocabulary <= vocabulary * size * 4


def test_a_qwen_head_takes_4096_rows_at_once():
    """So that 8192 tokens read and write the fp32 weight gradient twice, not eight times."""
    assert one_pass(151936, 2, trains_weight=True).rows == 4096
    assert one_pass(151936, 2, trains_weight=False).rows >= 1024


def test_splits_of_the_fused_forward_are_those_of_the_vocabulary():
    assert [fused_forward(vocabulary).num_splits for vocabulary in (1, 256, 257, 151936)] == [1, 1, 2, 16]
