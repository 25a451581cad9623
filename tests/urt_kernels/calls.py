"""A form's call as a module, and what it calls of our ops."""

from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from tests.urt_kernels.forms import Form

SHARDED = ("weight", "bias")


class Call(torch.nn.Module):
    """The call of a form as a function of its tensors, with all tensors of the result. An export takes no DTensor made
    inside of it: a module then holds them."""

    def __init__(self, form: Form, given: dict[str, Any], *, holds_shards: bool = False) -> None:
        super().__init__()
        self.function = form.found()
        self.options = {name: value for name, value in given.items() if not isinstance(value, Tensor)}
        self.mesh = init_device_mesh("cpu", (1,)) if "gathered" in form.function else None
        if holds_shards and self.mesh is not None:
            for name in [name for name in SHARDED if name in given]:
                shards = DTensor.from_local(given.pop(name).detach(), self.mesh, [Shard(0)])
                self.register_parameter(name, torch.nn.Parameter(shards))

    def forward(self, tensors: dict[str, Tensor]) -> list[Tensor]:
        given: dict[str, Any] = {**tensors, **self.options, **dict(self.named_parameters())}
        if self.mesh is not None:
            for name in SHARDED:
                if name in tensors:
                    given[name] = DTensor.from_local(tensors[name], self.mesh, [Shard(0)], run_check=False)
        return [each for each in tree_leaves(self.function(**given)) if isinstance(each, Tensor)]


def call_and_tensors(form: Form, *, holds_shards: bool = False) -> tuple[Call, dict[str, Tensor]]:
    given = form.arguments()
    return Call(form, given, holds_shards=holds_shards), {
        name: value for name, value in given.items() if isinstance(value, Tensor)
    }


class Recorder(TorchFunctionMode):
    """The calls of our own ops, with their arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...]]] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if isinstance(func, torch._ops.OpOverload) and func.namespace == "urt_kernels":
            copies = tuple(
                each.detach().clone().requires_grad_(each.requires_grad) if isinstance(each, Tensor) else each
                for each in args
            )
            self.calls.append((func, copies))
        return func(*args, **(kwargs or {}))
