"""The shared-prefix row computes what the padded rows compute: log-probs, entropies and gradients of every parameter."""

import pytest
import torch

from urt_core import render
from urt_train.batching import TokenBatch, pack_completions
from urt_train.config import Batching


def group_batch(policy, records, *, group_size: int, seed: int = 0) -> TokenBatch:
    """Random completions of different lengths, one of them a single token."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 14, (len(records), group_size), generator=generator)
    lengths[0, 0] = 1
    rows = [
        [torch.randint(7, 300, (int(length),), generator=generator).tolist() for length in group] for group in lengths
    ]
    ids, mask = pack_completions(rows)
    prompts = policy.encode([render(record, policy.spec.dialect) for record in records])
    return TokenBatch(prompts=prompts, completion_ids=ids, completion_mask=mask)


@pytest.mark.parametrize("num_prompts", [5, 1], ids=["padded prompts", "one prompt, not padded"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_log_probs_and_gradients_equal_those_of_padded_rows(
    policy, records, num_prompts, dtype, tolerance, monkeypatch
):
    policy.to(dtype)
    if dtype is torch.float64:  # transformers computes norms and rotations in float32 whatever the model's type
        monkeypatch.setattr(torch, "float32", torch.float64)
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    batch = group_batch(policy, records[:num_prompts], group_size=3)
    weights = torch.randn(batch.completion_ids.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    results, gradients = [], []
    for batching in Batching:
        policy.batching = batching
        policy.zero_grad()
        result = policy.token_logprobs(batch, temperature=0.7, entropy=True)
        (result.logprobs * weights).sum().backward()
        results.append(result)
        gradients.append({name: parameter.grad.clone() for name, parameter in policy.named_parameters()})
    padded, shared = results
    policy.batching = Batching.padded
    again = policy.token_logprobs(batch, temperature=0.7).logprobs
    assert torch.equal(again, padded.logprobs), "rows without a layout attend as before"
    torch.testing.assert_close(shared.logprobs, padded.logprobs, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(shared.entropy, padded.entropy, rtol=tolerance, atol=tolerance)
    assert padded.logprobs.abs().max() > 1, "the model is not uniform, so the comparison means something"
    for name, gradient in gradients[0].items():
        scale = gradient.abs().max().clamp(min=1.0)
        torch.testing.assert_close(gradients[1][name] / scale, gradient / scale, rtol=0, atol=tolerance, msg=name)
