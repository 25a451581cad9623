"""When a request is sent again, and after how long."""

import pytest

from urt_core.engines.endpoint.retrying import RetryPolicy, is_retried, retry_after_s


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "9" * 40}, None),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        # The clock of the server is years off: the difference to its own Date counts.
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after_s(headers) == seconds


def test_backoff_grows_is_jittered_and_respects_the_server():
    policy = RetryPolicy(first_delay_s=1.0, max_delay_s=8.0)
    assert [policy.delay(n, retry_after_s=None, random_number=1.0) for n in (1, 2, 3, 4, 5)] == [1, 2, 4, 8, 8]
    assert policy.delay(3, retry_after_s=None, random_number=0.25) == 1.0
    assert policy.delay(1, retry_after_s=10.0, random_number=0.5) == 10.5
    assert policy.delay(5, retry_after_s=10.0, random_number=1.0) == 11.0
    assert [status for status in (400, 401, 404, 408, 409, 422, 429, 500, 503) if is_retried(status, "")] == [
        408,
        409,
        429,
        500,
        503,
    ]
