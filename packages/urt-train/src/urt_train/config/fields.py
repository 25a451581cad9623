"""What every field means, read from the config classes themselves: `urt-train --fields grpo`."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from abc import ABC
from dataclasses import fields, is_dataclass
from typing import Any

from urt_core.errors import UrtError
from urt_train.config.experiment import TrainConfig


def describe(schema: type[TrainConfig], prefix: str = "") -> str:
    """One line per field under `prefix` ("" for all): name, value, meaning; a UrtError where there is none.

    >>> print(describe(TrainConfig, "trainer.num_nodes"))
    trainer.num_nodes = 1
        Nodes; more than one is launched by torchrun or SLURM.
    """
    lines = []
    for name, value, meaning in _walk(schema(), ""):
        if name == prefix or name.startswith(f"{prefix}.") or not prefix:
            lines.append(f"{name} = {value}\n{textwrap.indent(textwrap.fill(meaning, 100), '    ')}")
    if not lines:
        raise UrtError(f"no field begins with {prefix!r}; --fields alone lists all")
    return "\n".join(lines)


def _walk(config: Any, path: str) -> list[tuple[str, Any, str]]:
    meanings = _meanings(type(config))
    found: list[tuple[str, Any, str]] = []
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            found += _walk(value, f"{path}{field.name}.")
        else:
            found.append((path + field.name, value, meanings.get(field.name, "")))
    return found


def _meanings(schema: type) -> dict[str, str]:
    """Field -> the string below it, those of the parent classes included."""
    meanings: dict[str, str] = {}
    for parent in reversed(schema.__mro__[:-1]):
        if parent is ABC or getattr(sys.modules[parent.__module__], parent.__name__, None) is not parent:
            continue  # put together while running, from sections whose fields stand elsewhere
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(parent))).body
        assert isinstance(body, ast.ClassDef)
        for statement, below in zip(body.body, body.body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                if is_text:
                    text = str(below.value.value)  # pyright: ignore[reportAttributeAccessIssue]
                    meanings[statement.target.id] = " ".join(text.split())
    return meanings
