"""Drop-ins against the functions whose place they take, where these install, and inside TRL's own loss."""

from typing import Any

import pytest
import torch
from torch import Tensor

from urt_kernels import drop_in


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LOGITS, INDEX = normal(2, 5, 30), torch.arange(10).reshape(2, 5)
MASK = torch.tensor([[1, 1, 0, 1, 1], [0, 1, 1, 1, 0]])


@pytest.fixture(scope="module")
def trl_utils() -> Any:
    return pytest.importorskip("trl.trainer.utils", reason="TRL is not installed")


def agree(ours: Any, theirs: Any) -> None:
    """Values, and the gradients of a leaf made from LOGITS."""
    outcomes = []
    for function in (ours, theirs):
        leaf = LOGITS.clone().requires_grad_()
        outputs = function(leaf)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        upstream = [normal(*output.shape, seed=3) for output in outputs]
        outcomes.append((*outputs, *torch.autograd.grad(list(outputs), leaf, upstream)))
    for mine, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(mine, other, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("row_mask", [None, MASK])
@pytest.mark.parametrize("index", [INDEX, torch.stack([INDEX, INDEX + 3], dim=-1)], ids=["one", "K"])
def test_trl_selective(trl_utils, index, row_mask):
    mask = row_mask if row_mask is None or index.dim() == 2 else row_mask[..., None].expand(index.shape)
    agree(
        lambda logits: drop_in.trl_selective_logprobs(logits, index, 0.7, mask),
        lambda logits: trl_utils.selective_log_softmax(logits, index, 0.7, mask),
    )


@pytest.mark.parametrize("row_mask", [None, MASK])
def test_trl_with_entropy(trl_utils, row_mask):
    agree(
        lambda logits: drop_in.trl_selective_logprobs_and_entropy(logits, INDEX, True, 0.7, row_mask),
        lambda logits: trl_utils.selective_log_softmax_and_entropy(logits, INDEX, True, 0.7, row_mask),
    )
    leaf = LOGITS.clone().requires_grad_()
    assert not drop_in.trl_selective_logprobs_and_entropy(leaf, INDEX, False)[1].requires_grad


@pytest.mark.parametrize("softcap", [None, 5.0])
def test_trl_chunked(trl_utils, softcap):
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction

    targets, outcomes = torch.arange(9), []
    functions: tuple[Any, ...] = (drop_in.trl_chunked_logprobs, ChunkedLogProbFunction.apply)
    for function in functions:
        leaves = [normal(9, 8, seed=1).requires_grad_(), normal(40, 8, seed=2).requires_grad_()]
        found = function(leaves[0], leaves[1], None, targets, 0.7, 16, softcap, 0.5, ("entropy", "is_top1"))
        gradients = torch.autograd.grad(found[0].sum() + 0.3 * found[1].sum(), leaves)
        outcomes.append((found[0], found[1], found[4], *gradients))
    for mine, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(mine, other, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
def test_in_trls_own_loss(trl_utils, monkeypatch, masked):
    """The loss that TRL computes with its fused head, on a tiny Qwen2, with its head and with ours in its place."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    size: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=101, num_key_value_heads=2, **size))
    trl_utils.add_fused_lm_head(model, temperature=0.7, outputs=("log_probs", "entropy"))
    tokens = torch.randint(0, 101, (2, 9))
    labels = tokens.masked_fill(torch.arange(9) < (9 if masked else 4), -100)
    losses = []
    for head in (trl_utils._ChunkedLogProbFunction, type("Ours", (), {"apply": drop_in.trl_chunked_logprobs})):
        monkeypatch.setattr(trl_utils, "_ChunkedLogProbFunction", head)
        loss = model(input_ids=tokens, labels=labels, fused_lm_head=True).loss
        losses.append((loss, *torch.autograd.grad(loss, list(model.parameters()))))
    for mine, other in zip(*losses, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-4)


def test_verl_slime_and_openrlhf():
    expected = LOGITS.double().log_softmax(-1)
    chosen = expected.gather(-1, INDEX[..., None])[..., 0].float()
    entropies = -(expected.exp() * expected).sum(-1).float()
    torch.testing.assert_close(drop_in.verl_logprobs_from_logits(LOGITS.clone(), INDEX), chosen)
    torch.testing.assert_close(drop_in.openrlhf_logprobs_from_logits(LOGITS, INDEX), chosen)
    logprobs, entropy = drop_in.slime_logprobs_and_entropy(LOGITS[0], INDEX[0], None, with_entropy=True)
    torch.testing.assert_close(logprobs, chosen[0, :, None])
    torch.testing.assert_close(entropy, entropies[0])
    assert drop_in.slime_logprobs_and_entropy(LOGITS[0], INDEX[0], None)[1] is None
    hidden, weight = normal(5, 8), normal(30, 8)
    logprobs, entropy = drop_in.verl_linear_cross_entropy(hidden, weight, INDEX[0], 0.7)
    whole = (hidden.double() @ weight.double().T / 0.7).log_softmax(-1)
    torch.testing.assert_close(logprobs, whole.gather(-1, INDEX[0][:, None])[:, 0].float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(entropy, -(whole.exp() * whole).sum(-1).float(), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="reduction='max': allowed are none, mean, sum"):
        drop_in.verl_linear_cross_entropy(hidden, weight, INDEX[0], 0.7, "max")
