"""Drawing a token: by its distribution, within the nucleus, reported as it was."""

import pytest
import torch

from urt_core.engines.model.decoding import draw, sample


def test_draw_follows_the_distribution_and_top_p_cuts_its_tail():
    probabilities = torch.tensor([[0.5, 0.0, 0.3, 0.15, 0.05]])
    uniform = (torch.arange(10_000) + 0.5) / 10_000
    tokens = draw(probabilities.expand(10_000, -1), top_p=1.0, uniform=uniform)
    assert (torch.bincount(tokens, minlength=5) / 10_000).tolist() == pytest.approx([0.5, 0, 0.3, 0.15, 0.05], abs=2e-4)
    # 0.5 + 0.3 reaches 0.8 but not 0.81: the third token belongs to the nucleus of 0.81 (Holtzman et al., arXiv
    # 1904.09751).
    nucleus = draw(probabilities.expand(10_000, -1), top_p=0.81, uniform=uniform)
    assert (torch.bincount(nucleus, minlength=5) / 10_000).tolist() == pytest.approx(
        [0.5 / 0.95, 0, 0.3 / 0.95, 0.15 / 0.95, 0], abs=2e-4
    )
    last = draw(torch.tensor([[0.3, 0.7, 0.0]]), top_p=1.0, uniform=torch.tensor([1.0]))
    assert last.item() == 1


def test_reported_logprob_ignores_the_ban():
    logits = torch.tensor([[0.0, 1.0, 5.0]])
    token, logprob, _ = sample(
        logits, temperature=0.5, top_p=1.0, forbidden=torch.tensor([2]), uniform=torch.tensor([0.999])
    )
    assert token.item() == 1
    assert logprob.item() == pytest.approx((logits.double() / 0.5).log_softmax(-1)[0, 1].item(), abs=1e-6)
