"""When to ask again, and after how long."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from urt_core.errors import ConfigError

# Besides 5xx: request timeout, conflict (some gateways' lock time-out), too early, too many requests.
RETRIED_STATUSES = (408, 409, 425, 429)


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter; a server's Retry-After is a lower bound.

    RetryPolicy(max_attempts=6, first_delay_s=0.5, max_delay_s=30.0, deadline_s=600.0, attempt_timeout_s=180.0)
    """

    max_attempts: int = 6
    first_delay_s: float = 0.5
    max_delay_s: float = 30.0
    deadline_s: float = 600.0
    """From the first attempt to the last byte, waiting included."""
    attempt_timeout_s: float = 180.0
    """From sending a request to the last byte of its answer."""

    def __post_init__(self) -> None:
        for name in ("max_attempts", "first_delay_s", "max_delay_s", "deadline_s", "attempt_timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"RetryPolicy.{name} is {getattr(self, name)}; it must be above 0")

    def delay(self, attempt: int, *, retry_after_s: float | None, random_number: float | None = None) -> float:
        """Seconds to wait after `attempt` (1, 2, ...) has failed."""
        number = random.random() if random_number is None else random_number
        backoff = number * min(self.max_delay_s, self.first_delay_s * 2 ** (attempt - 1))
        return backoff if retry_after_s is None else retry_after_s + min(backoff, 1.0)


def is_retried(status: int, body: str) -> bool:
    """A spent quota comes as 429 too, but waiting does not fill it."""
    if status == 429 and "insufficient_quota" in body:
        return False
    return status >= 500 or status in RETRIED_STATUSES


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds a server asks to wait, from `Retry-After-Ms` or `Retry-After` (seconds or a date, RFC 9110 10.2.3).

    A date is read against the answer's own `Date`, so that a wrong clock on either side does no harm.
    """
    milliseconds = headers.get("retry-after-ms", "")
    if re.fullmatch(r"\d{1,9}", milliseconds):
        return int(milliseconds) / 1000
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,3})?", value):
        return float(value)
    until = http_date(value)
    if until is None:
        return None
    now = http_date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
