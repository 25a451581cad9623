"""One measurement: an operation on inputs of one shape, with everything that implements it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from torch import Tensor

Inputs = Mapping[str, Tensor]


class Mode(StrEnum):
    FORWARD = "forward"
    BACKWARD = "backward"
    BOTH = "both"


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """Work that the fastest imaginable implementation of this kind still does.

    >>> Amount(moved_bytes=2 * 8192 * 152064)     # reads bf16 logits once
    >>> Amount(operations=2 * 8192 * 4096 * 151936)
    """

    moved_bytes: int = 0
    operations: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Implementation:
    """A way to compute the operation.

    >>> Implementation(name="eager", run=lambda inputs: (inputs["logits"].log_softmax(-1)[:, 0],), ours=False)
    """

    name: str
    run: Callable[[Inputs], Sequence[Tensor]]
    """Outputs; those that need a gradient are driven with the case's upstream gradients, in order."""
    ours: bool = False
    """Ours have to pass the gates; a peer is only reported."""
    modes: tuple[Mode, ...] = tuple(Mode)
    amounts: Mapping[Mode, Amount] = field(default_factory=dict)
    """Where it differs from the case's (a head that recomputes its logits does more than one that keeps them)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """An operation at one shape.

    >>> case.label
    'token_logprobs 8192 x 152064 bf16 peaked'
    """

    operation: str
    label: str
    make_inputs: Callable[[], Inputs]
    """Makes the inputs on the device, the same ones on each call."""
    leaves: tuple[str, ...]
    """Inputs that want a gradient."""
    make_upstream: Callable[[Sequence[Tensor]], Sequence[Tensor]]
    implementations: Sequence[Implementation]
    amounts: Mapping[Mode, Amount]
    truth: Callable[[Inputs, int], Sequence[Tensor]]
    """First output and gradients in fp64, for so many outputs; of the rows in ``checked_rows`` where these are
    given."""
    checked_rows: Tensor | None = None
    absolute: float = 1e-4
    """Highest difference of the first output from fp64."""
    relative: float = 3e-3
    """Highest relative L2 error of each gradient."""
    row_inputs: tuple[str, ...] = ()
    """Inputs with one row per token, cut to test that a row does not depend on the others."""
