"""A real S3 server on loopback: moto's, the protocol over HTTP, in this process."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def s3_on_loopback() -> Iterator[str]:
    """Its address; any key opens it."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
