"""Results that another version of urt has saved: a measure that it did not have is missing, one that is not known here
is named and passed over, and a file that would be read wrongly is refused."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from urt_core.errors import DataError


def read_saved(path: Path, *, schema: int) -> dict[str, Any]:
    """The object in a file without its `schema`. A file of before there was one counts as 1; `schema` grows where an
    older urt would read a file wrongly."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is no saved result ({str(error)[:200]}); measure again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} is a {type(value).__name__}, and a saved result is an object; measure again")
    found = value.pop("schema", 1)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise DataError(f"{path} has schema {found!r:.80}; it must be a whole number from 1 on")
    if found > schema:
        raise DataError(f"{path} has schema {found}, this urt reads up to {schema}; update urt-core")
    return value


def saved_rows(value: Any, *, path: Path | str) -> list[Any]:
    """The list that `value` is, or a DataError."""
    if not isinstance(value, list | tuple):
        raise DataError(f"{path} has {value!r:.60} where a list is expected; measure again")
    return list(value)


def known_fields(kind: type, value: Mapping[str, Any], *, path: Path | str) -> dict[str, Any]:
    """What `kind` takes of an object. A DataError names what it needs and is not there; a warning names what it does
    not know."""
    if not isinstance(value, Mapping):
        raise DataError(f"{path} has {value!r:.60} where an object is expected; measure again")
    names = {item.name for item in fields(kind)}
    needed = {item.name for item in fields(kind) if item.default is MISSING and item.default_factory is MISSING}
    if missing := sorted(needed - value.keys()):
        raise DataError(f"{path} lacks {', '.join(missing)}; measure again")
    if unknown := sorted(map(str, value.keys() - names)):
        warnings.warn(f"{path} is newer than this urt, which does not know its {', '.join(unknown)}", stacklevel=3)
    return {name: value[name] for name in names & value.keys()}
