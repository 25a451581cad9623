"""Reports of logits as models and samplers make them, of upstream gradients, of ignored and masked tokens."""

from typing import Any

import torch

import urt_kernels as kernels
from tests.urt_kernels.public_reports.cases import REPORTS, batch, case, head, near, normal, right


@case(REPORTS, **{"129,920": 129920, "151,936": 151936})
def a_large_vocabulary_with_a_peak(vocabulary: int, impl: Any, device: str) -> None:
    """verl: NaN and wrong entropies where the block does not divide the vocabulary."""
    logits, targets = normal(2, vocabulary), torch.tensor([77, vocabulary - 1])
    logits[0, 77] = 40.0
    found = kernels.token_logprobs(logits.to(device), targets.to(device), temperature=1.0, entropy=True, impl=impl)
    logprobs, entropy = right(logits, targets)
    near(found.logprobs, logprobs, 2e-5)
    near(found.entropy, entropy, 5e-5)


@case(REPORTS)
def entropy_under_a_shift(impl: Any, device: str) -> None:
    """verl: sum p z loses its digits where all logits are large; ln Z - sum p z must not."""
    logits, targets = normal(3, 500, scale=4.0), torch.tensor([0, 499, 7])
    moved = (logits + 1000.0).to(device)
    found = kernels.token_logprobs(moved, targets.to(device), temperature=1.0, entropy=True, impl=impl)
    near(found.entropy, right(moved, targets)[1], 5e-5)


@case(REPORTS)
def one_finite_logit(impl: Any, device: str) -> None:
    """flash-attn's cross entropy: NaN where all others are -inf."""
    logits = torch.full((2, 100_000), -torch.inf)
    logits[0, 7], logits[1, 99_999] = 3.0, -2.0
    leaf = logits.to(device).requires_grad_()
    found = kernels.token_logprobs(
        leaf, torch.tensor([7, 99_999], device=device), temperature=0.7, entropy=True, impl=impl
    )
    assert found.entropy is not None
    assert found.logprobs.tolist() == found.entropy.tolist() == [0.0, 0.0]
    (gradient,) = torch.autograd.grad(found.logprobs.sum() + found.entropy.sum(), leaf)
    assert torch.equal(gradient, torch.zeros_like(gradient))


@case(REPORTS, **{"ignored": kernels.IGNORE_TARGET, "with a target": 1})
def a_row_of_minus_infinity(target: int, impl: Any, device: str) -> None:
    """NaN as in torch where it counts, and nothing where it is ignored; the neighbours have their own values."""
    logits, targets = normal(3, 90), torch.tensor([5, target, 8])
    logits[1] = -torch.inf
    leaf = logits.to(device).requires_grad_()
    found = kernels.token_logprobs(leaf, targets.to(device), temperature=1.0, impl=impl).logprobs
    near(found[[0, 2]], right(logits[[0, 2]], targets[[0, 2]])[0], 1e-5)
    assert bool(found[1].isnan()) == (target != kernels.IGNORE_TARGET)
    (gradient,) = torch.autograd.grad(found[[0, 2]].sum(), leaf)
    assert gradient.isfinite().all()


@case(REPORTS)
def masks_of_the_lowest_number(impl: Any, device: str) -> None:
    """Samplers mask with finfo.min, which times 1 / T is -inf."""
    logits, targets = normal(3, 90), torch.tensor([0, 4, 88])
    logits[:, 5:60] = torch.finfo(torch.float32).min
    found = kernels.token_logprobs(logits.to(device), targets.to(device), temperature=0.5, entropy=True, impl=impl)
    logprobs, entropy = right(logits, targets, 0.5)
    near(found.logprobs, logprobs, 1e-5)
    near(found.entropy, entropy, 1e-5)


@case(REPORTS)
def extreme_temperatures(impl: Any, device: str) -> None:
    logits, targets = normal(3, 90), torch.tensor([0, 4, 88])
    for temperature in (1e-3, 1e3):
        found = kernels.token_logprobs(
            logits.to(device), targets.to(device), temperature=temperature, entropy=True, impl=impl
        )
        logprobs, entropy = right(logits, targets, temperature)
        near(found.logprobs, logprobs, 1e-6 * (1.0 + float(logprobs.abs().max())))
        near(found.entropy, entropy, 1e-5)


@case(REPORTS)
def half_precision_logits_out_of_range(impl: Any, device: str) -> None:
    """fp16 operands whose products are above 65504."""
    hidden, weight = torch.full((1, 64), 40.0).half(), torch.full((9, 64), 30.0).half()
    weight[3] = 30.125
    targets = torch.tensor([3])
    found = kernels.linear_token_logprobs(
        hidden.to(device), weight.to(device), targets.to(device), temperature=100.0, impl=impl
    )
    logits = hidden.double() @ weight.double().T
    assert logits.max() > 65504
    near(found.logprobs, right(logits, targets, 100.0)[0], 1e-4)


@case(REPORTS, **{"each row its own": (0.3, -1.0, 2.0, 0.5), "the first of weight 0": (0.0, 1.0, 1.0, -2.0)})
def upstream_gradients(weights: tuple[float, ...], impl: Any, device: str) -> None:
    """Liger's linear cross entropy read one gradient for all rows, or scaled by the first row's."""
    hidden, weight, targets = head(device, rows=4)
    leaves = [hidden.requires_grad_(), weight.requires_grad_()]
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    upstream = torch.tensor(weights, device=device)
    found = kernels.linear_token_logprobs(leaves[0], leaves[1], targets, temperature=0.7, impl=impl).logprobs
    expected = (exact[0] @ exact[1].T / 0.7).log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    truth = torch.autograd.grad(expected, exact, upstream.double())
    for ours, theirs in zip(torch.autograd.grad(found, leaves, upstream), truth, strict=True):
        near(ours, theirs, 1e-5)


@case(REPORTS, **{"without bias": False, "with bias": True})
def ignored_rows(with_bias: bool, impl: Any, device: str) -> None:
    """Liger counted ignored rows into the gradient, NeMo-Automodel into that of the bias."""
    hidden, weight, targets = head(device)
    bias = normal(70).to(device) if with_bias else None
    targets[[1, 4]] = kernels.IGNORE_TARGET
    leaves = [each.requires_grad_() for each in (hidden, weight, bias) if each is not None]
    found = kernels.linear_token_logprobs(hidden, weight, targets, bias=bias, temperature=1.0, impl=impl).logprobs
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    logits = exact[0] @ exact[1].T + (exact[2] if with_bias else 0.0)
    live = targets != kernels.IGNORE_TARGET
    expected = logits.log_softmax(-1)[live].gather(-1, targets[live][:, None])[:, 0]
    near(found[live], expected, 1e-5)
    assert found[~live].tolist() == [0.0, 0.0]
    truth = torch.autograd.grad(expected.sum(), exact)
    for ours, theirs in zip(torch.autograd.grad(found.sum(), leaves), truth, strict=True):
        near(ours, theirs, 1e-5)


@case(REPORTS)
def every_label_ignored(impl: Any, device: str) -> None:
    """torch's cross entropy means over nothing: NaN. Ours has zeros and a graph."""
    logits = normal(4, 50).to(device).requires_grad_()
    found = kernels.token_logprobs(
        logits, torch.full((4,), kernels.IGNORE_TARGET, device=device), temperature=1.0, impl=impl
    )
    assert found.logprobs.tolist() == [0.0] * 4
    (gradient,) = torch.autograd.grad(found.logprobs.sum(), logits)
    assert torch.equal(gradient, torch.zeros_like(gradient))


@case(REPORTS)
def no_token_of_a_fine_tuning_step(impl: Any, device: str) -> None:
    """OLMo-core and cosmos-rl divided by the number of labels of a micro-batch that has none."""
    hidden, weight, targets = head(device)
    mask = torch.zeros(1, 6, dtype=torch.bool, device=device)
    weight.requires_grad_()
    loss = kernels.linear_loss(
        hidden[None], weight, targets[None], surrogate="nll", temperature=1.0, mask=mask, impl=impl
    ).loss
    assert loss == 0
    assert torch.equal(*(torch.autograd.grad(loss, weight)[0], torch.zeros_like(weight)))


@case(REPORTS, **{"one pass": True, "two steps": False})
def no_token_of_a_policy_step(one_pass: bool, impl: Any, device: str) -> None:
    """TRL: a micro-batch without completion tokens left the graph, and another rank waited for its gradients."""
    for aggregation in ("grpo", "dapo", "dr_grpo"):
        arguments: Any = {**batch(device), "aggregation": aggregation, "impl": impl}
        arguments["completion_mask"] = torch.zeros(2, 3, dtype=torch.bool, device=device)
        weight = arguments["weight"]
        if one_pass:
            loss = kernels.linear_grpo_loss(**arguments, temperature=1.0).loss
        else:
            given = {name: arguments.pop(name) for name in ("hidden", "weight", "targets")}
            loss = kernels.grpo_loss(
                kernels.linear_token_logprobs(**given, temperature=1.0, impl=impl).logprobs, **arguments
            ).loss
        assert loss == 0
        assert torch.equal(torch.autograd.grad(loss, weight)[0], torch.zeros_like(weight))


@case(REPORTS, **{"NaN": torch.nan, "minus infinity": -torch.inf})
def under_the_mask(value: float, impl: Any, device: str) -> None:
    """open-instruct: log-probs of padding times 0 are NaN."""
    arguments = batch(device)
    arguments["completion_mask"][:, 2] = False
    policy = normal(2, 3, seed=5).to(device) - 4.0
    expected = kernels.grpo_loss(policy, *(arguments[name] for name in list(arguments)[3:]), impl=impl)
    arguments["rollout_logprobs"][:, 2] = value
    leaf = policy.clone()
    leaf[:, 2] = value
    found = kernels.grpo_loss(leaf.requires_grad_(), *(arguments[name] for name in list(arguments)[3:]), impl=impl)
    assert torch.equal(found.loss, expected.loss)
    (gradient,) = torch.autograd.grad(found.loss, leaf)
    assert gradient[:, 2].tolist() == [0.0, 0.0]
    assert gradient.isfinite().all()


@case(REPORTS)
def an_overflowing_ratio(impl: Any, device: str) -> None:
    """TRL: exp of a log-ratio of hundreds is inf and its gradient NaN. Ours stops at e^20, without gradient."""
    policy = torch.zeros(1, 1, device=device, requires_grad=True)
    one = torch.ones(1, 1, device=device)
    loss = kernels.grpo_loss(policy, -500.0 * one, -one[0], one, impl=impl).loss
    near(loss / torch.tensor(20.0).exp().to(device), torch.tensor(1.0), 1e-6)
    assert torch.autograd.grad(loss, policy)[0].item() == 0.0


@case(REPORTS)
def a_log_prob_of_the_engine_that_is_nan(impl: Any, device: str) -> None:
    """TRL: one such token made the loss and every metric NaN. It is left out, and counted."""
    arguments = batch(device)
    arguments["rollout_logprobs"][0, 1] = torch.nan
    found = kernels.linear_grpo_loss(**arguments, temperature=1.0, impl=impl)
    assert found.sums.num_left_out == 1
    assert all(value.isfinite() for value in found.sums)
    gradient, _ = torch.autograd.grad(found.loss, [arguments["hidden"], arguments["weight"]])
    assert gradient.isfinite().all()
    assert gradient[0, 1].abs().max() == 0
    assert gradient[0, 0].abs().max() > 0
