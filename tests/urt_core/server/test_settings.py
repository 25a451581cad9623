"""Settings that cannot be, and hosts that need no token."""

import pytest

from urt_core.errors import ConfigError
from urt_core.server.settings import ServerSettings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "0.0.0.0"}, "there is no token"),
        ({"host": "example.org"}, "there is no token"),
        ({"max_requests": 0}, "max_requests is 0"),
        ({"max_queue": -1}, "max_queue is -1"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        ServerSettings(**settings)


def test_hosts_that_need_no_token():
    for host in ("127.0.0.1", "::1", "localhost", "127.8.9.1"):
        assert ServerSettings(host=host).token is None
    assert ServerSettings(host="0.0.0.0", token="secret").token == "secret"
