"""linear_loss and linear_token_logprobs as trainers hold their heads: types, caps, temperatures, packed rows,
buffers."""

from typing import Any

import pytest
import torch
from torch import Tensor

from urt_kernels import linear_grpo_loss, linear_loss, linear_token_logprobs, token_logprobs


def operands(num_rows: int = 12, vocabulary: int = 50, size: int = 16, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden, weight = (torch.randn(rows, size, generator=generator) for rows in (num_rows, vocabulary))
    return hidden, weight, torch.randint(0, vocabulary, (num_rows,), generator=generator)


def truth(hidden: Tensor, weight: Tensor, targets: Tensor, **head: Any) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies in fp64, with autograd."""
    logits = hidden.double() @ weight.double().T * head.get("logit_scale", 1.0)
    if cap := head.get("softcap"):
        logits = cap * (logits / cap).tanh()
    temperature = torch.as_tensor(head.get("temperature", 1.0), dtype=torch.float64)
    logits = logits / (temperature[..., None] if temperature.dim() else temperature)
    if (allowed := head.get("allowed")) is not None:
        logits = logits.masked_fill(~allowed, -1e30)
    log_p = logits.log_softmax(-1)
    return log_p.gather(-1, targets[..., None])[..., 0], -(log_p.exp() * log_p).sum(-1)


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "soft cap and scale": {"softcap": 5.0, "logit_scale": 0.5},
    "a temperature for each row": {"temperature": torch.linspace(0.5, 1.5, 12)},
    "allowed tokens": {"allowed": torch.rand(12, 50, generator=torch.Generator().manual_seed(1)) > 0.4},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtypes", ["float32 float32", "bfloat16 float32", "float32 bfloat16", "bfloat16 bfloat16"])
@pytest.mark.parametrize("autocast", [False, True])
def test_accuracy_in_every_mode(form, dtypes, autocast):
    """Log-prob and entropy within 1e-4, gradients within 3e-3 of fp64 on the operands as they are, under autocast
    too."""
    hidden, weight, targets = operands()
    head = {"temperature": 0.9, **FORMS[form]}
    if "allowed" in head:
        head["allowed"] = head["allowed"] | torch.nn.functional.one_hot(targets, 50).bool()
    kinds = [getattr(torch, name) for name in dtypes.split()]
    leaves = [each.to(kind).requires_grad_() for each, kind in zip((hidden, weight), kinds, strict=True)]
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    logprobs, entropy = truth(exact[0], exact[1], targets, **head)
    expected = torch.autograd.grad((logprobs - 0.5 * entropy).mean(), exact)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        result = linear_token_logprobs(leaves[0], leaves[1], targets, entropy=True, **head)
        assert result.entropy is not None
        gradients = torch.autograd.grad((result.logprobs - 0.5 * result.entropy).mean(), leaves)
        one_pass = linear_loss(
            leaves[0][None], leaves[1], targets[None], surrogate="nll", entropy_coef=0.5, **_batched(head)
        )
        passed = torch.autograd.grad(-one_pass.loss, leaves)
    assert (result.logprobs - logprobs).abs().max() < 1e-4
    assert (result.entropy - entropy).abs().max() < 1e-4
    assert torch.equal(one_pass.policy_logprobs[0], result.logprobs)
    for gradient, leaf, right in zip(gradients, leaves, expected, strict=True):
        assert gradient.dtype == leaf.dtype
        assert relative(gradient, right) < 3e-3
    # The bonus is subtracted: nll - 0.5 H is minus the sum above with the sign of the entropy turned.
    turned = torch.autograd.grad(
        (truth(exact[0], exact[1], targets, **head)[0] + 0.5 * truth(exact[0], exact[1], targets, **head)[1]).mean(),
        exact,
    )
    for gradient, right in zip(passed, turned, strict=True):
        assert relative(gradient, right) < 3e-3


def _batched(head: dict[str, Any]) -> dict[str, Any]:
    return {name: value[None] if isinstance(value, Tensor) else value for name, value in head.items()}


def test_operands_may_be_rounded_first():
    hidden, weight, targets = operands()
    leaf = weight.clone().requires_grad_()
    ours = linear_token_logprobs(hidden, leaf, targets, temperature=1.0, operands=torch.bfloat16).logprobs
    rounded = linear_token_logprobs(hidden.bfloat16(), weight.bfloat16(), targets, temperature=1.0).logprobs
    assert torch.equal(ours, rounded)
    ours.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.dtype == torch.float32


def test_gradcheck_of_the_capped_head_and_of_the_one_pass():
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(1, 4, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.randn(9, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    targets = torch.tensor([[0, 3, 8, 4]])
    temperature = torch.tensor([[0.5, 1.0, 0.7, 2.0]], dtype=torch.float64)
    advantages = torch.tensor([0.7], dtype=torch.float64)

    def outputs(hidden: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        head: dict[str, Any] = {"temperature": temperature, "softcap": 3.0, "logit_scale": 0.7}
        result = linear_token_logprobs(hidden, weight, targets, entropy=True, **head)
        assert result.entropy is not None
        loss = linear_loss(
            hidden, weight, targets, surrogate="clip", entropy_coef=0.1, rollout_logprobs=torch.full((1, 4), -2.0),
            advantages=advantages, clip_low=1.0, clip_high=1e6, **head,
        ).loss  # fmt: skip
        return result.logprobs, result.entropy, result.lse, loss

    assert torch.autograd.gradcheck(outputs, (hidden, weight))


def test_fp16_gradients_survive_small_weights():
    """1 / 1e7 per token is below what fp16 holds; the loss scale comes only in backward."""
    hidden, weight, targets = operands()
    leaves = [each.half().requires_grad_() for each in (hidden[None], weight)]
    loss = linear_loss(leaves[0], leaves[1], targets[None], surrogate="nll", temperature=1.0, num_tokens=1e7).loss
    ours = torch.autograd.grad(loss * 2.0**16, leaves)
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    expected = -truth(exact[0], exact[1], targets[None])[0].sum() / 1e7 * 2.0**16
    for mine, right in zip(ours, torch.autograd.grad(expected, exact), strict=True):
        assert relative(mine, right) < 1e-3


def test_packed_rows_are_the_padded_batch():
    generator = torch.Generator().manual_seed(2)
    lengths = [3, 0, 5, 4]
    offsets = torch.tensor([0, 3, 3, 8, 12])
    hidden, weight, targets = operands()
    hidden, weight = hidden.double().requires_grad_(), weight.double().requires_grad_()
    rollout = torch.randn(12, dtype=torch.float64, generator=generator) - 4
    advantages = torch.randn(4, dtype=torch.float64, generator=generator)
    mask = torch.rand(12, generator=generator) > 0.2

    def padded(values: Tensor) -> Tensor:
        parts = torch.split(values, lengths)
        return torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True)

    for objective in ({"aggregation": "grpo"}, {"ratio": "sequence"}, {"aggregation": "dapo"}):
        settings: dict[str, Any] = {"temperature": 0.7, **objective}
        packed = linear_grpo_loss(hidden, weight, targets, rollout, advantages, mask, cu_seqlens=offsets, **settings)
        other = linear_grpo_loss(
            padded(hidden), weight, padded(targets), padded(rollout), advantages, padded(mask), **settings
        )
        torch.testing.assert_close(packed.loss, other.loss)
        for ours, theirs in zip(packed.sums, other.sums, strict=True):
            torch.testing.assert_close(ours, theirs)
        gradients = [torch.autograd.grad(each.loss, [hidden, weight]) for each in (packed, other)]
        for ours, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_rows", [5, 600])
def test_the_gradient_is_added_to_the_buffer(dtype, num_rows):
    hidden, weight, targets = operands(num_rows)
    hidden, weight = hidden[None].requires_grad_(), weight.to(dtype).requires_grad_()
    arguments: dict[str, Any] = {"surrogate": "nll", "temperature": 1.0}
    buffer = torch.ones(weight.shape)
    result = linear_loss(hidden, weight, targets[None], weight_grad=buffer, upstream=3.0, **arguments)
    (hidden_gradient,) = torch.autograd.grad(result.loss * 3.0, hidden)
    plain = linear_loss(hidden, weight, targets[None], **arguments)
    expected = torch.autograd.grad(plain.loss * 3.0, [hidden, weight])
    torch.testing.assert_close(hidden_gradient, expected[0])
    torch.testing.assert_close(
        buffer - 1.0, expected[1].float(), atol=1e-6 if dtype == torch.float32 else 1e-2, rtol=1e-2
    )


def test_another_upstream_than_promised_is_refused():
    hidden, weight, targets = operands()
    hidden, weight = hidden[None].requires_grad_(), weight.requires_grad_()
    buffer = torch.zeros(weight.shape)
    loss = linear_loss(
        hidden, weight, targets[None], surrogate="nll", temperature=1.0, weight_grad=buffer, upstream=2.0
    ).loss
    with pytest.raises(ValueError, match="upstream=2, but the loss got the gradient 3"):
        (loss * 3.0).backward()


def test_a_chunk_of_the_cpu_has_the_bits_of_any_other():
    """Batch, chunk and micro-batch do not show in a row's log-prob, in either form."""
    hidden, weight, targets = operands(1500, vocabulary=300)
    whole = linear_token_logprobs(hidden, weight, targets, temperature=0.7, entropy=True)
    passed = linear_loss(hidden[None], weight, targets[None], surrogate="nll", temperature=0.7, entropy=True)
    assert torch.equal(passed.policy_logprobs[0], whole.logprobs)
    assert whole.entropy is not None
    assert passed.entropy is not None
    assert torch.equal(passed.entropy[0], whole.entropy)
    for rows in (slice(0, 1), slice(255, 258), slice(1490, 1500), slice(3, 1400)):
        alone = linear_loss(hidden[None, rows], weight, targets[None, rows], surrogate="nll", temperature=0.7)
        assert torch.equal(alone.policy_logprobs[0], whole.logprobs[rows])


def test_one_row_may_be_damaged():
    """A NaN or inf of the engine or of a reward costs its token, in both forms, and is counted."""
    hidden, weight, targets = operands()
    hidden, targets = hidden.view(3, 4, 16).requires_grad_(), targets.view(3, 4)
    mask, advantages = torch.ones(3, 4, dtype=torch.bool), torch.tensor([1.0, -1.0, 0.5])
    rollout = linear_token_logprobs(hidden, weight, targets, temperature=1.0).logprobs.detach() + 0.1
    rollout[1, 2], rollout[2, 0] = torch.nan, -torch.inf
    arguments = (hidden, weight, targets, rollout, advantages)
    result = linear_grpo_loss(*arguments, mask, temperature=1.0)
    assert result.sums.num_left_out == 2
    assert all(value.isfinite() for value in result.sums)
    live = rollout.isfinite()
    (gradient,) = torch.autograd.grad(result.loss, hidden)
    assert torch.equal(gradient[~live], torch.zeros_like(gradient[~live]))
    # The others have the gradients they would have without the damaged ones, under the same divisors.
    weights = torch.where(live, 1.0, 0.0)
    repaired = torch.where(live, rollout, torch.zeros(()))
    whole = linear_grpo_loss(hidden, weight, targets, repaired, advantages[:, None] * weights, mask, temperature=1.0)
    torch.testing.assert_close(gradient, torch.autograd.grad(whole.loss, hidden)[0])


def test_a_temperature_for_each_row_of_logits():
    logits = torch.randn(3, 9, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    targets, temperature = torch.tensor([0, 8, 3]), torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    result = token_logprobs(logits, targets, temperature=temperature, entropy=True)
    expected = (logits / temperature[:, None]).log_softmax(-1)
    torch.testing.assert_close(result.logprobs, expected.gather(-1, targets[:, None])[:, 0])

    def both(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = token_logprobs(values, targets, temperature=temperature, entropy=True)
        assert found.entropy is not None
        return found.logprobs, found.entropy

    assert torch.autograd.gradcheck(both, logits)


def test_the_targets_own_gradient_keeps_its_digits():
    """1 - p at p near 1: from p itself it would be rounding alone."""
    logits = torch.tensor([[12.0, 0.0, -1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(token_logprobs(logits, torch.tensor([0]), temperature=1.0).logprobs.sum(), logits)
    exact = 1 - logits.detach().double().softmax(-1)[0, 0]
    assert abs(float(gradient[0, 0]) / float(exact) - 1) < 1e-2
