"""Checks of field values; each error names the field, its value and what is allowed."""

from __future__ import annotations

import math
from typing import Any

from urt_core.engines.endpoint.pool import are_server_addresses
from urt_core.errors import ConfigError
from urt_train.config.choices import ALL_TASKS, Orders


def fail(config: Any, name: str, allowed: str) -> None:
    where = f"{config.path}.{name}" if config.path else name
    raise ConfigError(f"{where} is {getattr(config, name)!r}; allowed: {allowed}")


def above(config: Any, bound: int | float, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value > bound):
            fail(config, name, f"a number above {bound}")


def at_least(config: Any, bound: int | float, *names: str) -> None:
    """None passes: where a field allows null, null means no limit."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not (math.isfinite(value) and value >= bound):
            fail(config, name, f"{bound} or more")


def within(config: Any, low: int | float, high: int | float, *names: str) -> None:
    for name in names:
        if not low <= getattr(config, name) <= high:
            fail(config, name, f"{low} to {high}")


def one_of(config: Any, name: str, allowed: list[str]) -> None:
    if getattr(config, name) not in allowed:
        fail(config, name, ", ".join(allowed))


def known_tasks(config: Any) -> None:
    if not config.tasks or not set(config.tasks) <= set(ALL_TASKS):
        fail(config, "tasks", f"one or more of {', '.join(ALL_TASKS)}")


def no_groups(config: Any) -> None:
    if config.orders is Orders.both:
        fail(config, "orders", "given, random")


def server_addresses(config: Any, name: str) -> None:
    if not are_server_addresses(getattr(config, name)):
        fail(config, name, "different addresses such as http://gpu-1:8000, without user, path or query")
