"""A model whose weights are read when it is known where they go: no process ever holds more than its part and one
tensor.

`empty_model` has the shape of a folder and no memory. The trainer shards it; `fill` then gives every parameter its
place and reads it: a sharded one by each process for itself, piece by piece out of the safetensors; one that all
processes hold alike by the first, which sends it to the others. A folder whose names are not those of the model (older
ones, which transformers renames as it reads them) is opened by transformers on the first process, which sends tensor by
tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor

from urt_core.engines.model import folder as model_folder
from urt_core.errors import CheckpointError
from urt_train.model.lora import adapters, initial_adapter
from urt_train.runtime.checkpoints.tensor_file import Piece, PieceReader
from urt_train.runtime.checkpoints.training_state import local_piece
from urt_train.runtime.ranks import world

Opener = Callable[[], nn.Module]


def empty_model(folder: str | Path, *, dtype: str, attention: str, revision: str | None = None) -> Any:
    """The model of a folder with parameters on the meta device; buffers that no file has are computed."""
    from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig

    config = AutoConfig.from_pretrained(folder, revision=revision, trust_remote_code=False)
    with parameters_on_meta():
        model = AutoModelForImageTextToText.from_config(
            config, dtype=getattr(torch, dtype), attn_implementation=attention, trust_remote_code=False
        )
    with suppress(OSError):  # without a file it is made from the model's config, as transformers does
        of_revision: dict[str, Any] = {} if revision is None else {"revision": revision}
        model.generation_config = GenerationConfig.from_pretrained(folder, **of_revision)
    return model.eval()


def open_model(folder: str | Path, *, dtype: str, attention: str, revision: str | None = None) -> Any:
    """The model of a folder with its weights."""
    return model_folder.open_model(
        folder, dtype=getattr(torch, dtype), attn_implementation=attention, revision=revision
    )


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Parameters that modules register meanwhile have no memory; their initialisation costs nothing."""
    register = nn.Module.register_parameter

    def register_on_meta(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None and not param.is_meta:
            param = nn.Parameter(param.to("meta"), requires_grad=param.requires_grad)
        register(self, name, param)

    nn.Module.register_parameter = register_on_meta
    try:
        yield
    finally:
        nn.Module.register_parameter = register


def is_empty(module: nn.Module) -> bool:
    return any(parameter.is_meta for parameter in module.parameters())


def fill(root: nn.Module, model: nn.Module, *, folder: str | Path, device: torch.device, open_whole: Opener) -> None:
    """Give the parameters of `model` that lie on the meta device memory on `device`, and their weights. Every rank
    takes part.

    `root` is the outermost module that was sharded, with `model` somewhere in it.
    """
    empty = {name for name, parameter in model.named_parameters() if parameter.is_meta}
    materialize(root, device)
    parameters = {name: parameter for name, parameter in model.named_parameters() if name in empty}
    own = {name for name, _ in adapters(model)}
    wanted = {_stored_name(name): parameter for name, parameter in parameters.items() if name not in own}
    reader = stored_weights(folder)
    with torch.no_grad():
        for name in own & empty:
            _place(parameters[name], initial_adapter(name, parameters[name].shape))
        if reader is not None and wanted.keys() <= reader.names:
            _read(wanted, reader)
        else:
            _receive(wanted, open_whole if world()[0] == 0 else None, device=device)


def _stored_name(name: str) -> str:
    """That of the weight in a model without adapters."""
    return name.replace(".base_layer.", ".")


def materialize(root: nn.Module, device: torch.device) -> None:
    """Memory for what lies on the meta device; weights that are tied stay so."""
    places: dict[nn.Parameter, list[tuple[nn.Module, str]]] = {}
    for module in root.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.is_meta:
                places.setdefault(parameter, []).append((module, name))
    root._apply(lambda tensor: torch.empty_like(tensor, device=device) if tensor.is_meta else tensor.to(device))
    for (module, name), *others in places.values():
        for other, its_name in others:
            other._parameters[its_name] = module._parameters[name]


def stored_weights(folder: str | Path) -> PieceReader | None:
    """The safetensors of a local folder; None where there are none."""
    files = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        try:
            with safe_open(str(path), framework="pt") as file:
                files[path] = {name: Piece.of_all(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} can't be read ({str(error).splitlines()[0]})") from error
    return PieceReader(files) if files else None


def _read(wanted: Mapping[str, nn.Parameter], reader: PieceReader) -> None:
    for name, parameter in wanted.items():
        if isinstance(parameter, DTensor):
            piece = local_piece(parameter)
            if math.prod(piece.shape):
                parameter.to_local().copy_(reader.read(name, piece))
        else:
            if world()[0] == 0:
                parameter.copy_(reader.read(name, Piece.of_all(parameter.shape)))
            _send(parameter)


def _receive(wanted: Mapping[str, nn.Parameter], open_whole: Opener | None, *, device: torch.device) -> None:
    whole: dict[str, Tensor] = {}
    if open_whole is not None:
        whole = dict(open_whole().named_parameters())
    for name, parameter in wanted.items():
        if open_whole is not None:
            tensor = whole.pop(name).detach().to(device, parameter.dtype)
        else:
            tensor = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
        _send(tensor)
        _place(parameter, tensor)


def _place(parameter: nn.Parameter, whole: Tensor) -> None:
    if isinstance(parameter, DTensor):
        piece = local_piece(parameter)
        whole = whole[tuple(slice(at, at + size) for at, size in zip(piece.offset, piece.shape, strict=True))]
        parameter.to_local().copy_(whole)
    else:
        parameter.copy_(whole)


def _send(tensor: Tensor) -> None:
    """From the first rank to the others."""
    if world()[1] > 1:
        distributed.broadcast(tensor.detach(), src=0)
