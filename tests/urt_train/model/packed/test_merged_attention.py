"""Variable-length calls merged by their log-sum-exp are the attention with a mask: values and gradients, of any lengths, in the
whole model, and by flash-attn's own functions as far as their calls go."""

import sys
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from tests.urt_train.layouts import assert_layouts_agree, group_batch, in_float64
from tests.urt_train.model.packed.plain_kernel import PlainKernel
from urt_train.model.packed import shared_prefix
from urt_train.model.packed.merged_attention import Bounds, FlashKernel, merged_attention, sequences_of
from urt_train.model.packed.packing import Group

CPU = torch.device("cpu")


def random_states(groups, *, heads=4, kv_heads=2, width=8):
    num_tokens = sum(group.prompt + sum(group.completions) for group in groups)
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(num_tokens, number, width, generator=generator, dtype=torch.float64).requires_grad_()
        for number in (heads, kv_heads, kv_heads)
    ]


def masked(groups, states):
    """By the definition: a token sees what precedes it in its group, of its prompt and its own completion."""
    place = [
        (group, part)
        for group, lengths in enumerate(groups)
        for part, size in enumerate([lengths.prompt, *lengths.completions])
        for _ in range(size)
    ]
    sees = [
        [key <= query and k[0] == q[0] and k[1] in (0, q[1]) for key, k in enumerate(place)]
        for query, q in enumerate(place)
    ]
    query, key, value = (part.transpose(0, 1)[None] for part in states)
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    return scaled_dot_product_attention(query, key, value, attn_mask=torch.tensor(sees), scale=0.3)[0].transpose(0, 1)


def agree(groups, kernel=None):
    states = random_states(groups)
    sequences = sequences_of(groups, device=CPU)
    query, key, value = states
    seen = merged_attention(query, key, value, sequences, scale=0.3, kernel=kernel or PlainKernel())
    expected = masked(groups, states)
    torch.testing.assert_close(seen, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn(seen.shape, dtype=seen.dtype, generator=torch.Generator().manual_seed(1))
    gradients = (torch.autograd.grad((result * weights).sum(), states) for result in (seen, expected))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.lists(st.integers(0, 7), min_size=1, max_size=4)), min_size=1, max_size=4)
)
def test_any_groups(lengths):
    agree([Group(prompt, tuple(own)) for prompt, own in lengths])


def test_scores_far_apart_do_not_overflow():
    groups = [Group(3, (4, 2))]
    query, key, value = (part.detach() * 300 for part in random_states(groups))
    sequences = sequences_of(groups, device=CPU)
    seen = merged_attention(query, key, value, sequences, scale=1.0, kernel=PlainKernel())
    assert seen.isfinite().all()


@pytest.mark.parametrize("num_prompts", [1, 4])
def test_the_whole_model_computes_what_padded_rows_compute(policy, records, num_prompts, monkeypatch):
    in_float64(policy, monkeypatch)
    monkeypatch.setattr(shared_prefix, "VARIABLE_LENGTH", PlainKernel())
    policy.attention = "flash_attention_2"
    lengths = [[3, 1, 0], [5, 2, 9], [0, 0, 0], [1, 4, 4]][:num_prompts]
    batch = group_batch(policy, records[:num_prompts], group_size=3, lengths=lengths)
    assert_layouts_agree(policy, batch, tolerance=1e-10)


def test_flash_attn_is_called_as_its_functions_are_declared(monkeypatch):
    """A stand-in with the arguments of flash-attn 2.8's `_flash_attn_varlen_forward` and `_backward`, which refuses any
    other, and computes plainly."""
    calls = []

    def forward(
        q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p, softmax_scale, causal,
        window_size_left=-1, window_size_right=-1, softcap=0.0, alibi_slopes=None, return_softmax=False,
        block_table=None, leftpad_k=None, seqused_k=None, zero_tensors=False,
    ):  # fmt: skip
        bounds = checked(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p)
        calls.append("forward")
        out, lse = PlainKernel().forward(q, k, v, *bounds, scale=softmax_scale, is_causal=causal)
        return out, lse, None, None

    def backward(
        dout, q, k, v, out, softmax_lse, dq, dk, dv, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k,
        dropout_p, softmax_scale, causal, window_size_left, window_size_right, softcap, alibi_slopes, deterministic,
        rng_state=None, zero_tensors=False,
    ):  # fmt: skip
        bounds = checked(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p)
        calls.append("backward")
        assert softmax_lse.is_contiguous()
        parts = (dout, q, k, v, out, softmax_lse)
        found = PlainKernel().backward(*parts, *bounds, scale=softmax_scale, is_causal=causal)
        for given_buffer, gradient in zip((dq, dk, dv), found, strict=True):
            given_buffer.copy_(gradient)

    def checked(q, k, v, starts_q, starts_k, longest_q, longest_k, dropout):
        assert dropout == 0.0
        for starts, longest, states in ((starts_q, longest_q, q), (starts_k, longest_k, k)):
            assert starts.dtype is torch.int32
            assert int(starts.diff().max()) == longest
            assert int(starts[-1]) == len(states)
            assert states.stride(-1) == 1
        assert len(k) == len(v)
        return Bounds(starts_q, longest_q), Bounds(starts_k, longest_k)

    interface = SimpleNamespace(_flash_attn_varlen_forward=forward, _flash_attn_varlen_backward=backward)
    monkeypatch.setitem(sys.modules, "flash_attn", SimpleNamespace(flash_attn_interface=interface))
    monkeypatch.setitem(sys.modules, "flash_attn.flash_attn_interface", interface)
    agree([Group(5, (3, 0, 6)), Group(9, (0, 0, 0)), Group(4, (2, 1, 2))], FlashKernel())
    assert calls == ["forward", "forward", "backward", "backward"], "for all groups at once"
    agree([Group(5, (0, 0))], FlashKernel())
    assert calls[4:] == ["forward", "backward"], "nothing to merge"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_flash_attn_gives_the_oracles_values_on_a_gpu():
    pytest.importorskip("flash_attn")
    groups = [Group(130, (33, 0, 70)), Group(9, (0, 0, 0)), Group(64, (20, 1, 128))]
    device = torch.device("cuda")
    states = [part.detach().to(device, torch.bfloat16).requires_grad_() for part in random_states(groups, width=64)]
    results = []
    for kernel, kind in ((FlashKernel(), torch.bfloat16), (PlainKernel(), torch.float64)):
        sequences = sequences_of(groups, device=device)
        query, key, value = (part.to(kind) for part in states)
        seen = merged_attention(query, key, value, sequences, scale=0.125, kernel=kernel)
        results.append([seen, *torch.autograd.grad(seen.double().sum(), states)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=3e-2, atol=3e-2)  # bfloat16 has eight bits
