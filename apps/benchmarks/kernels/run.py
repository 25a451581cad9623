"""Run a case: gates first, then times of every implementation that can run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from benchmarks.kernels.case import Amount, Case, Implementation, Inputs, Mode
from benchmarks.kernels.ceilings import Ceilings
from benchmarks.kernels.gates import Verdict, check
from benchmarks.kernels.peers import Missing, as_missing
from benchmarks.kernels.report import Row
from benchmarks.kernels.timing import Times, measure, peak_extra_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Denominators of a case.

    >>> Limits(ceilings=ceilings, product=7.6e14)
    """

    ceilings: Ceilings
    product: float | None
    """Operations per second of a plain matrix product of the case's shape."""


def run_case(case: Case, device: torch.device, *, limits: Limits | None, repetitions: int) -> Iterator[Row]:
    """Rows of the case; with ``limits`` None only the gates are run and nothing is timed."""
    inputs = case.make_inputs()
    verdicts: dict[str, Verdict] = {}
    notes: dict[str, str] = {}
    for implementation in case.implementations:
        try:
            with as_missing(ours=implementation.ours):
                verdicts[implementation.name] = check(case, implementation, inputs)
        except Missing as reason:
            notes[implementation.name] = str(reason)
    runnable = [implementation for implementation in case.implementations if implementation.name in verdicts]
    for name, note in notes.items():
        yield Row(case=case.label, mode="", implementation=name, note=note)
    if limits is None:
        for implementation in runnable:
            yield _row(case, "checked", implementation, verdicts[implementation.name])
        return
    for mode in Mode:
        functions: dict[str, Callable[[], object]] = {}
        for implementation in runnable:
            if mode not in implementation.modes or (mode is not Mode.FORWARD and not case.leaves):
                continue
            try:
                with as_missing(ours=implementation.ours):
                    functions[implementation.name] = _function(case, implementation, inputs, mode)
            except Missing as reason:
                yield Row(case=case.label, mode=mode, implementation=implementation.name, note=str(reason))
        times = measure(functions, device=device, repetitions=repetitions)
        eager = next((times[name].median for name in times if name.startswith("eager")), None)
        for implementation in runnable:
            if implementation.name in times:
                amount = implementation.amounts.get(mode) or case.amounts.get(mode)
                yield _row(
                    case,
                    mode,
                    implementation,
                    verdicts[implementation.name],
                    times=times[implementation.name],
                    amount=amount,
                    limits=limits,
                    eager=eager,
                    extra=peak_extra_bytes(functions[implementation.name], device),
                )


def _function(case: Case, implementation: Implementation, inputs: Inputs, mode: Mode) -> Callable[[], object]:
    if mode is Mode.FORWARD:

        def forward() -> object:
            with torch.no_grad():
                return implementation.run(inputs)

        return forward
    leaves = {name: inputs[name].detach().requires_grad_() for name in case.leaves}
    if mode is Mode.BOTH:

        def both() -> object:
            outputs = implementation.run({**inputs, **leaves})
            return torch.autograd.grad(list(outputs), list(leaves.values()), list(case.make_upstream(outputs)))

        return both
    # The backward pass by itself: the graph is made once, outside the timed part, and its inputs are cold.
    outputs = implementation.run({**inputs, **leaves})
    upstream = case.make_upstream(outputs)
    return lambda: torch.autograd.grad(list(outputs), list(leaves.values()), list(upstream), retain_graph=True)


def _row(
    case: Case,
    mode: str,
    implementation: Implementation,
    verdict: Verdict,
    *,
    times: Times | None = None,
    amount: Amount | None = None,
    limits: Limits | None = None,
    eager: float | None = None,
    extra: int | None = None,
) -> Row:
    rate, share = "", None
    if times is not None and amount is not None and limits is not None:
        if amount.operations and limits.product:
            speed = amount.operations / times.median * 1e3
            rate, share = f"{speed / 1e12:.3g} TFLOP/s", speed / limits.product
        elif amount.moved_bytes:
            speed = amount.moved_bytes / times.median * 1e3
            rate, share = f"{speed / 1e9:.3g} GB/s", speed / limits.ceilings.copy
    return Row(
        case=case.label,
        mode=mode,
        implementation=implementation.name,
        median_ms=None if times is None else times.median,
        low_ms=None if times is None else times.low,
        high_ms=None if times is None else times.high,
        rate=rate,
        share=share,
        speed_up=None if times is None or eager is None else eager / times.median,
        extra_mib=None if extra is None else extra / 2**20,
        error=verdict.error,
        gradient_error=verdict.gradient_error,
        repeatable=verdict.repeatable,
        batch_invariant=verdict.batch_invariant,
        passed=verdict.passed if implementation.ours else None,
    )
