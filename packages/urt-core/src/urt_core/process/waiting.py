"""How threads that compute together wait for one another. OpenMP reads it when torch is loaded, so it is said
before."""

import os
from collections.abc import MutableMapping

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""They sleep: spinning, they take the cores from whatever they wait for when anything else runs."""


def settle_waiting(environment: MutableMapping[str, str] = os.environ) -> None:
    """Unless the user has said otherwise."""
    for name, value in WAITING.items():
        environment.setdefault(name, value)
