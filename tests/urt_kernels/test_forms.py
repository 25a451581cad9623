"""Every form of every public function: its ops under opcheck, its gradients under gradcheck, one compiled graph with the
bits of eager, and an export. docs/kernels.md shows the table of them, which stands here."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.urt_kernels.calls import Recorder, call_and_tensors
from tests.urt_kernels.forms import FORMS, HEAD, MODULES, NOT_UPSTREAM, Form
from urt_kernels import drop_in
from urt_kernels.policy_loss.settings import Clips
from urt_kernels.sharded.loss import Objective

pytestmark = [
    pytest.mark.usefixtures("no_type_checks", "group_of_one"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),  # the compiler does it
]

PROOFS = ("opcheck", "gradcheck", "one graph", "export")


FOUND = pytest.mark.parametrize("form", FORMS, ids=[form.name for form in FORMS])


def outcome(run: Callable[..., list[Tensor]], tensors: dict[str, Tensor], learns: tuple[str, ...]) -> list[Tensor]:
    """Values, gradients and the buffer that was added to."""
    values = run(tensors)
    found = list(values)
    if learns:
        total = sum(each.sum() for each in values if each.requires_grad)
        assert isinstance(total, Tensor)
        found += torch.autograd.grad(total, [tensors[name] for name in learns])
    return [*found, *(value for name, value in tensors.items() if name == "weight_grad")]


@FOUND
def test_opcheck(form: Form) -> None:
    call, tensors = call_and_tensors(form)
    with Recorder() as recorder:
        outcome(call, tensors, form.learns)
    assert recorder.calls
    for op, arguments in recorder.calls:
        torch.library.opcheck(op, arguments)


@pytest.mark.parametrize(
    "form", [form for form in FORMS if "gradcheck" not in form.without], ids=lambda form: form.name
)
def test_gradcheck(form: Form) -> None:
    call, tensors = call_and_tensors(form)

    def run(*leaves: Tensor) -> tuple[Tensor, ...]:
        values = call({**tensors, **dict(zip(form.learns, leaves, strict=True))})
        return tuple(each for each in values if each.requires_grad)

    assert torch.autograd.gradcheck(run, [tensors[name] for name in form.learns])


@FOUND
def test_one_graph_with_the_bits_of_eager(form: Form) -> None:
    call, tensors = call_and_tensors(form)
    expected = outcome(call, tensors, form.learns)
    torch.compiler.reset()
    call, tensors = call_and_tensors(form)
    found = outcome(torch.compile(call, backend="aot_eager", fullgraph=True), tensors, form.learns)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)


@FOUND
def test_export(form: Form) -> None:
    call, tensors = call_and_tensors(form, holds_shards=True)
    exported = torch.export.export(call, (tensors,)).module()
    call, tensors = call_and_tensors(form, holds_shards=True)
    expected = outcome(call, tensors, ())
    _, tensors = call_and_tensors(form, holds_shards=True)
    for ours, theirs in zip(outcome(exported, tensors, ()), expected, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("form", [form for form in FORMS if form.without == NOT_UPSTREAM], ids=lambda form: form.name)
def test_a_buffer_gets_what_the_form_without_it_gives(form: Form) -> None:
    call, tensors = call_and_tensors(form)
    *_, by_hidden, buffer = outcome(call, tensors, form.learns)
    call, tensors = call_and_tensors(form)
    del tensors["weight_grad"]
    *_, expected, by_weight = outcome(call, tensors, HEAD)
    assert torch.equal(by_hidden, expected)
    torch.testing.assert_close(buffer, 1.0 + by_weight, rtol=1e-14, atol=1e-14)


def public_functions() -> dict[str, Callable[..., Any]]:
    """Those that take a tensor."""
    found = {}
    for place, module in MODULES.items():
        for name in getattr(module, "__all__", vars(module)):
            value = getattr(module, name)
            own = inspect.isfunction(value) and not name.startswith("_") and value.__module__.startswith("urt_kernels")
            if own and any("Tensor" in str(each.annotation) for each in inspect.signature(value).parameters.values()):
                found[place + name] = value
    imported = {
        name for name, value in found.items() if name.startswith("drop_in.") and value.__module__ != drop_in.__name__
    }
    return {name: value for name, value in found.items() if name not in imported}


def arguments_of(function: Callable[..., Any]) -> set[str]:
    """Names, those behind ** included, less what chooses no path: the implementation, and looks at values."""
    named = inspect.signature(inspect.unwrap(function)).parameters.values()
    names = {each.name for each in named if each.kind is not inspect.Parameter.VAR_KEYWORD}
    for each in named:
        if each.kind is inspect.Parameter.VAR_KEYWORD:
            names |= (Objective if "Objective" in str(each.annotation) else Clips).__annotations__.keys()
    return names - {"impl", "validate_targets"}


def test_every_argument_of_every_public_function_is_in_a_form() -> None:
    functions = public_functions()
    assert {form.function for form in FORMS} == functions.keys()
    for name, function in functions.items():
        used = {argument for form in FORMS if form.function == name for argument in form.arguments()}
        assert arguments_of(function) == used, name


def table() -> str:
    """For docs/kernels.md, as Markdown."""
    lines = [f"| form | {' | '.join(PROOFS)} |", f"| --- |{' --- |' * len(PROOFS)}"]
    for form in FORMS:
        cells = [form.without.get(proof, "yes") for proof in PROOFS]
        lines.append(f"| `{form.function}`, {form.title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_page_shows_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "kernels.md"
    assert table() in page.read_text(encoding="utf-8"), table()
