"""Every tensor and every number that a public function takes, made wrong: a ValueError that names it, before any of our
ops is called."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.urt_kernels.calls import SHARDED, Recorder, call_and_tensors
from tests.urt_kernels.forms import FORMS, Form

pytestmark = pytest.mark.usefixtures("no_type_checks", "group_of_one")


def other_type(value: Tensor) -> Tensor:
    return value.detach().to(torch.complex64)


def one_axis_more(value: Tensor) -> Tensor:
    return value.detach()[..., None].expand(*value.shape, 3)


def one_row_more(value: Tensor) -> Tensor:
    return torch.cat([value.detach(), value.detach()[:1]])


def elsewhere(value: Tensor) -> Tensor:
    return value.detach().to("meta")


def sparse(value: Tensor) -> Tensor:
    return value.detach().to_sparse()


WRONG: dict[str, Callable[[Tensor], Tensor]] = {
    "type": other_type,
    "axes": one_axis_more,
    "rows": one_row_more,
    "device": elsewhere,
    "layout": sparse,
}


RIGHT = {
    ("weight", "rows"),  # a larger vocabulary
    ("rewards", "axes"),  # [P, G]
    ("advantages", "axes"),  # one for each token
    ("rewards", "device"),  # alone there, but for offsets
    ("cu_seqlens", "rows"),  # one sequence more, whose advantage is then missing
}
"""What isn't wrong, or is told of its neighbour."""


def cases(kind: type | tuple[type, ...]) -> list[Any]:
    """Each function's arguments of these types, in the first form that has them. The functions of other trainers hand
    theirs on to these."""
    found: dict[tuple[str, str], Form] = {}
    for form in FORMS:
        for name, value in form.arguments().items():
            mine = isinstance(value, kind) and not isinstance(value, bool) and not form.function.startswith("drop_in.")
            # A DTensor can't be made of these.
            if mine and not ("gathered" in form.function and name in SHARDED and kind is Tensor):
                found.setdefault((form.function, name), form)
    return [pytest.param(form, name, id=f"{function} {name}") for (function, name), form in found.items()]


def refused(form: Form, name: str, wrong: Any) -> None:
    call, tensors = call_and_tensors(form)
    if isinstance(wrong, Tensor):
        tensors[name] = wrong
    else:
        call.options[name] = wrong
    with Recorder() as recorder, pytest.raises(ValueError, match=rf"\b{name}\b"):
        call(tensors)
    assert recorder.calls == []


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize(("form", "name"), cases(Tensor))
def test_a_tensor(form: Form, name: str, how: str) -> None:
    if (name, how) not in RIGHT:
        refused(form, name, WRONG[how](form.arguments()[name]))


@pytest.mark.parametrize(("form", "name"), cases((int, float)))
def test_a_number(form: Form, name: str) -> None:
    refused(form, name, float("nan"))
