"""Checks of settings: field, value and what is allowed, on one line."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from urt_core.errors import ConfigError
from urt_train.config import checks


@dataclass
class Settings:
    path: ClassVar[str] = "mine"
    share: float = 0.5
    limit: int | None = None
    kind: str = "a"
    tasks: list[str] = field(default_factory=lambda: ["image_generation"])
    servers: list[str] = field(default_factory=list)


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_above(value: float) -> None:
    with pytest.raises(ConfigError, match=r"^mine\.share is .*; allowed: a number above 0$"):
        checks.above(Settings(share=value), 0, "share")


def test_none_is_no_limit_and_bounds_belong_to_it() -> None:
    checks.at_least(Settings(), 1, "limit")
    checks.at_least(Settings(limit=1), 1, "limit")
    checks.within(Settings(share=1.0), 0, 1, "share")
    with pytest.raises(ConfigError, match=r"mine\.limit is 0; allowed: 1 or more"):
        checks.at_least(Settings(limit=0), 1, "limit")
    with pytest.raises(ConfigError, match=r"mine\.share is 1\.1; allowed: 0 to 1"):
        checks.within(Settings(share=1.1), 0, 1, "share")


def test_names_are_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"mine\.kind is 'c'; allowed: a, b"):
        checks.one_of(Settings(kind="c"), "kind", ["a", "b"])
    for tasks in ([], ["image"]):
        with pytest.raises(ConfigError, match=r"mine\.tasks is .*image_generation"):
            checks.known_tasks(Settings(tasks=tasks))


@pytest.mark.parametrize(
    "address",
    [
        "gpu-1:8000",
        "http://",
        "http://me:pw@gpu-1:8000",
        "http://gpu-1:8000/v1",
        "ftp://gpu-1",
        "http://gpu-1:x",
        "http://a?b",
    ],
)
def test_an_address_of_a_server_is_scheme_host_and_port(address: str) -> None:
    checks.server_addresses(Settings(servers=["http://gpu-1:8000", "https://gpu-2"]), "servers")
    with pytest.raises(ConfigError, match=r"mine\.servers is"):
        checks.server_addresses(Settings(servers=[address]), "servers")


def test_a_server_is_named_once() -> None:
    with pytest.raises(ConfigError, match="different addresses"):
        checks.server_addresses(Settings(servers=["http://gpu-1:8000"] * 2), "servers")
