"""A model's folder is data: what it holds is checked before a library opens it, and nothing in it is run or fetched.

    outputs/tiny/grpo/model/SHA256SUMS      as `sha256sum --check` reads it; every judge that urt exports has one

A folder with that list holds exactly the bytes that were exported. One without it (from a hub, of before there were
lists) is checked for what can be known of it: its family, plain names, finite weights.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from urt_core.atomic import write_atomically
from urt_core.engines.image_slots import FAMILIES
from urt_core.errors import CheckpointError, EngineError, UrtError

SUMS = "SHA256SUMS"
MAX_CONFIG_BYTES = 1 << 20
MAX_SUMS_BYTES = 1 << 20
MAX_PICTURE_BYTES = 8 << 20
MAX_LAYERS = 1024
"""Of a model or its vision tower; the largest published ones have fewer than 200."""
_READ = re.compile(
    r"anchor.*|(?:adapter|added_tokens|chat_template|config|generation_config|judge|merges|model|preprocessor|processor|special_tokens|spiece|tokenizer"
    r"|video|vocab).*\.(?:json|jinja|model|txt)|.*\.safetensors|additional_chat_templates"
)
"""Files that libraries look for in a model's folder; one of them that the list does not name may change the model."""
_LINE = re.compile(r"([0-9a-f]{64}) [ *]([A-Za-z0-9_][A-Za-z0-9._-]{0,199})")
_WEIGHTS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}\.safetensors")
_LAYERS = re.compile(r"(?:.*_)?(?:layers|depth)")
_PICTURE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}\.(?:png|jpe?g)")
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_KERNEL = re.compile(r"_?(?:attn|experts)_implementation.*")


def check_model_folder(path: str | os.PathLike[str]) -> None:
    """CheckpointError or EngineError where a local folder is no model that may be opened; a hub id passes.

    Reads every byte of the weights once: their hashes, where the folder has a list of them, and whether they are
    numbers.
    """
    folder = Path(path)
    if not folder.is_dir():
        return
    config = read_config(folder / "config.json")
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise EngineError(
            f"{folder}: model type is {str(model_type)[:80]!r}, and how its prompts hold images is not known here; allowed: "
            f"{', '.join(sorted(FAMILIES))}. Code that a folder brings along is never run"
        )
    _check_values(config, where=f"{folder}/config.json")
    if (folder / "adapter_config.json").exists():
        raise CheckpointError(
            f"{folder} holds an adapter (adapter_config.json), which names a model elsewhere; merge the two first"
        )
    weights = _check_weight_names(folder)
    if (folder / SUMS).exists():
        _check_sums(folder)
    _check_finite(weights)


def read_config(path: Path) -> dict[str, Any]:
    """A JSON object of a model's folder, of bounded size."""
    try:
        value = json.loads(_read_regular(path, MAX_CONFIG_BYTES))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({str(error)[:200]}); export or copy the model again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is a {type(value).__name__}; it must be an object with model_type and so on")
    return value


def read_picture(folder: Path, name: str) -> bytes:
    """The bytes of a PNG or JPEG of the folder itself, of bounded size; a CheckpointError where it is something else."""
    if not _PICTURE.fullmatch(name):
        raise CheckpointError(
            f"{folder} names the picture {name[:80]!r}; allowed: .png and .jpg files of the folder itself"
        )
    data = _read_regular(folder / name, MAX_PICTURE_BYTES)
    if not data.startswith(_SIGNATURES):
        raise CheckpointError(f"{folder}/{name} begins like neither a PNG nor a JPEG; copy the judge again")
    return data


def open_model(path: str | os.PathLike[str], **settings: Any) -> Any:
    """The model of a checked folder or a hub id with its weights; CheckpointError where one is missing or has another
    shape, where transformers would judge with a random one.

    `settings` go to transformers: dtype, attn_implementation, revision.
    """
    from transformers import AutoModelForImageTextToText

    with model_wall(path):
        opened: Any = AutoModelForImageTextToText.from_pretrained(
            path, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **settings
        )
        model, report = opened
        missing = sorted({*report["missing_keys"], *(name for name, *_ in report.get("mismatched_keys", ()))})
        if missing:
            raise CheckpointError(f"{path} lacks {len(missing)} weights of its model, such as {missing[0]}")
    return model


def write_sums(folder: Path) -> Path:
    """The list of all files of `folder` with their hashes."""
    names = sorted(item.name for item in folder.iterdir() if item.name != SUMS)
    lines = [f"{_digest(folder / name)}  {name}\n" for name in names]
    write_atomically(folder / SUMS, "".join(lines).encode())
    return folder / SUMS


@contextmanager
def model_wall(path: str | os.PathLike[str]) -> Iterator[None]:
    """Whatever a library raises over a model's folder or hub id is a CheckpointError of one line."""
    try:
        yield
    except UrtError:
        raise
    except Exception as error:
        [reason, *_] = str(error).strip().splitlines() or [""]
        raise CheckpointError(
            f"{path} can't be opened as a model ({type(error).__name__}: {reason[:300]}); give another folder or hub id"
        ) from error


def _check_values(value: dict[str, Any], *, where: str) -> None:
    """Numbers and names that would keep a library busy for ever, or make it fetch code."""
    for name, item in value.items():
        if isinstance(item, dict):
            _check_values(item, where=where)
        elif isinstance(item, int) and _LAYERS.fullmatch(name) and item > MAX_LAYERS:
            raise CheckpointError(f"{where}: {name[:80]} is {item:.3g}; allowed are at most {MAX_LAYERS:,}")
        elif isinstance(item, int) and abs(item) > 2**53:
            raise CheckpointError(f"{where}: {name[:80]} is a number that no model has")
        elif isinstance(item, str) and _KERNEL.fullmatch(name) and "/" in item:
            raise CheckpointError(
                f"{where}: {name[:80]} is {item[:80]!r}, code of a hub; allowed: eager, sdpa and the like"
            )


def _check_weight_names(folder: Path) -> list[Path]:
    """The files of the weights: safetensors that lie in the folder itself."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        shards = read_index(index)
        if strange := sorted(name for name in shards if not _WEIGHTS.fullmatch(name)):
            raise CheckpointError(
                f"{index} names {strange[0][:80]!r}; weights are .safetensors files of the folder itself"
            )
        names = sorted(shards)
    else:
        names = ["model.safetensors"]
    for name in names:
        if not (folder / name).exists():
            raise CheckpointError(f"{folder} has no {name}; weights are read as safetensors and never as pickles")
        _read_regular(folder / name, 0)
    return [folder / name for name in names]


def read_index(path: Path) -> set[str]:
    """The files that an index of weights names."""
    try:
        names = set(json.loads(_read_regular(path, 64 * MAX_CONFIG_BYTES))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is no index of weights ({type(error).__name__}); copy the model again"
        ) from error
    if not names or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{path} is no index of weights: it names no files; copy the model again")
    return names


def _check_sums(folder: Path) -> None:
    said: dict[str, str] = {}
    for line in _read_regular(folder / SUMS, MAX_SUMS_BYTES).decode("utf-8", "replace").splitlines():
        found = _LINE.fullmatch(line)
        if found is None or found[2] in said:
            raise CheckpointError(
                f"{folder}/{SUMS} has the line {line[:100]!r}; a line is a SHA-256 and a file's name, once"
            )
        said[found[2]] = found[1]
    unlisted = sorted(item.name for item in folder.iterdir() if _READ.fullmatch(item.name) and item.name not in said)
    if unlisted or not any(_WEIGHTS.fullmatch(name) for name in said):
        raise CheckpointError(f"{folder}/{SUMS} does not list {(unlisted or ['any weights'])[0]}; {_MEND}")
    for name, digest in said.items():
        if not (folder / name).exists():
            raise CheckpointError(f"{folder} lacks {name}, which {SUMS} lists; {_MEND}")
        if _digest(folder / name) != digest:
            raise CheckpointError(f"{folder}: {name} has other bytes than were exported; {_MEND}")


_MEND = f"copy or export the judge again, or remove {SUMS} if the change is yours"


def _check_finite(weights: list[Path]) -> None:
    """Infinite weights and those that are no numbers give judgements that look like any other."""
    import torch
    from safetensors import SafetensorError, safe_open

    for path in weights:
        try:
            with safe_open(str(path), framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - it is no mapping
                    tensor = file.get_tensor(name)
                    if tensor.is_floating_point() and tensor.numel() and tensor.element_size() > 1:
                        # One pass without a copy; a NaN anywhere is the least and the greatest.
                        low, high = torch.aminmax(tensor)
                        if not (torch.isfinite(low) and torch.isfinite(high)):
                            raise CheckpointError(f"{path}: {name} holds weights that are no finite numbers")
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{path} can't be read ({str(error).splitlines()[0]}); copy the model again"
            ) from error


def _read_regular(path: Path, size: int) -> bytes:
    """At most `size` bytes of a regular file; a link of a hub's cache is followed, a pipe or a device is not read."""
    try:
        # A pipe is opened without waiting for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; a model's folder has it beside its weights") from None
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror})") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise CheckpointError(f"{path} is not a regular file; pipes, devices and folders are not read")
    with open(descriptor, "rb") as file:
        if size and status.st_size > size:
            raise CheckpointError(f"{path} has {status.st_size:,} bytes, allowed are {size:,}")
        return file.read(size)


def _digest(path: Path) -> str:
    _read_regular(path, 0)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
