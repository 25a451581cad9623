"""What a server allows."""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from urt_core.adapters.failures import FailurePolicy
from urt_core.adapters.references import ReferencePool
from urt_core.contracts import load_contract
from urt_core.errors import ConfigError
from urt_core.prompts import PointContract


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """ServerSettings(host="127.0.0.1", port=8090, token=None, max_body_bytes=64 * 2**20, max_requests=64,
    max_queue=256)"""

    host: str = "127.0.0.1"
    port: int = 8090
    token: str | None = None
    """Clients send it as `Authorization: Bearer <token>`. Needed wherever others can reach the port."""
    max_body_bytes: int = 64 * 2**20
    max_bodies_bytes: int = 2**30
    """Of all requests together; the first 64 KiB of each do not count."""
    head_timeout_s: float = 20.0
    """For receiving a request's line and headers, from the opening of its connection."""
    body_timeout_s: float = 30.0
    """For receiving a request's body."""
    answer_timeout_s: float = 1800.0
    """From the whole body to its answer, waiting included; then 504, and the work is cancelled."""
    max_connections: int = 4096
    """Open at a time, from everywhere. Beyond it the one that has said nothing for longest is closed for the new
    one."""
    max_connections_per_address: int = 2048
    """Open at a time from one address, likewise."""
    allowed_hosts: tuple[str, ...] = ()
    """Names in the Host header beside those of the loopback, where there is no token."""
    max_requests: int = 64
    """Judged at a time."""
    max_queue: int = 256
    """That may wait; the next gets 503 with Retry-After."""
    max_candidates: int = 64
    """In one ranking, /compute request or gathered group."""
    max_prompt_tokens: int = 16384
    """Of text in one question to a judge that runs in this process; an endpoint has limits of its own."""
    group_timeout_s: float = 120.0
    """For the samples of a group to come in from all processes; then those that came get the status `incomplete`."""
    drain_s: float = 60.0
    """After SIGTERM no connection is accepted and what is under way may finish, so long."""
    reward: Literal["win_rate", "score"] = "win_rate"
    """What /compute returns."""
    references: ReferencePool | None = None
    """What a sample that stands alone is compared with, where /compute returns win rates."""
    contract: PointContract | str = PointContract.THINK
    on_failure: FailurePolicy | str = FailurePolicy.NAN
    """What /compute returns for a sample that could not be judged."""

    def __post_init__(self) -> None:
        for name in (
            "max_body_bytes",
            "body_timeout_s",
            "max_requests",
            "max_candidates",
            "drain_s",
            "max_bodies_bytes",
            "head_timeout_s",
            "answer_timeout_s",
            "max_connections",
            "max_connections_per_address",
            "max_prompt_tokens",
            "group_timeout_s",
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.max_queue < 0:
            raise ConfigError(f"max_queue is {self.max_queue}; it must be at least 0")
        object.__setattr__(self, "contract", load_contract(self.contract, PointContract))
        object.__setattr__(self, "on_failure", FailurePolicy(self.on_failure))
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(
                f"host is {self.host}, which others can reach, and there is no token; put one into the environment variable "
                "URT_TOKEN (or the one named by --token-env), or serve on 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
