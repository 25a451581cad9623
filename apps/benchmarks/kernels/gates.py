"""Correctness of an implementation on a case: error against fp64, repeatability, independence of a row from the
batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.kernels.case import Case, Implementation, Inputs, Mode


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What was found; None where it does not apply.

    >>> Verdict(error=3e-6, gradient_error=1.6e-3, repeatable=True, batch_invariant=True, passed=True)
    """

    error: float
    gradient_error: float | None
    repeatable: bool
    batch_invariant: bool | None
    passed: bool


def outcome(case: Case, implementation: Implementation, inputs: Inputs) -> tuple[Tensor, list[Tensor]]:
    """(first output, gradients of the leaves) of one forward and, where it has one, backward."""
    if Mode.BACKWARD not in implementation.modes:
        with torch.no_grad():
            return implementation.run(inputs)[0], []
    leaves = {name: inputs[name].detach().requires_grad_() for name in case.leaves}
    outputs = implementation.run({**inputs, **leaves})
    if not leaves:
        return outputs[0], []
    gradients = torch.autograd.grad(list(outputs), list(leaves.values()), list(case.make_upstream(outputs)))
    return outputs[0].detach(), list(gradients)


def check(case: Case, implementation: Implementation, inputs: Inputs) -> Verdict:
    with torch.no_grad():
        num_outputs = len(implementation.run(inputs))
    truth = case.truth(inputs, num_outputs)
    first, gradients = outcome(case, implementation, inputs)
    again, gradients_again = outcome(case, implementation, inputs)
    pairs = zip([first, *gradients], [again, *gradients_again], strict=True)
    repeatable = all(torch.equal(one, other) for one, other in pairs)
    value, *checked = [_checked(case, ours, true) for ours, true in zip([first, *gradients], truth, strict=False)]
    error = float((value.double() - truth[0]).abs().max()) if value.numel() else 0.0
    gradient_error = max((_relative(ours, true) for ours, true in zip(checked, truth[1:], strict=False)), default=None)
    invariant = _batch_invariant(case, implementation, inputs, first)
    passed = error <= case.absolute and repeatable and invariant is not False
    if gradient_error is not None:
        passed = passed and gradient_error <= case.relative
    return Verdict(
        error=error, gradient_error=gradient_error, repeatable=repeatable, batch_invariant=invariant, passed=passed
    )


def _checked(case: Case, ours: Tensor, truth: Tensor) -> Tensor:
    return ours if case.checked_rows is None or ours.shape == truth.shape else ours[case.checked_rows]


def _relative(ours: Tensor, truth: Tensor) -> float:
    return float((ours.double() - truth).norm() / truth.norm().clamp(min=1e-30))


def _batch_invariant(case: Case, implementation: Implementation, inputs: Inputs, whole: Tensor) -> bool | None:
    if not case.row_inputs:
        return None
    num_rows = len(inputs[case.row_inputs[0]])
    part = slice(num_rows // 3, num_rows // 3 + max(1, num_rows // 7))
    cut = {**inputs, **{name: inputs[name][part] for name in case.row_inputs}}
    with torch.no_grad():
        alone = implementation.run(cut)[0]
    return torch.equal(alone, whole[part])
