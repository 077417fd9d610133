"""The rules of retries: which failed requests are sent again, and after which delay.

A server that answers 429, or 503 with ``Retry-After``, has not executed the request, and one that cannot be connected to has
not received it: any request is sent again. After other failures the request may have taken effect, so only idempotent ones are
sent again. If a server asks for a longer delay than the client accepts, the error is final.
"""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from kcp.client.errors import StatusError, TransportError

_FIRST_DELAY: Final = 0.1
_LAST_DELAY: Final = 10.0
_REFUSED: Final = (429, 503)
_GATEWAY_FAILURES: Final = (502, 504)


class RetryPolicy(NamedTuple):
    """The limits of retries: their number, and the longest ``Retry-After`` in seconds."""

    retries: int
    max_retry_after: float


def retry_delay(
    error: StatusError | TransportError, attempt: int, policy: RetryPolicy, *, idempotent: bool
) -> float | None:
    """Return the seconds until a request is sent again, or None if the error is final. ``attempt`` counts from 0."""
    if attempt >= policy.retries:
        return None
    if isinstance(error, TransportError):
        return backoff(attempt) if (idempotent or not error.sent) and not error.final else None
    if error.code in _REFUSED and error.retry_after is not None:
        return float(error.retry_after) if error.retry_after <= policy.max_retry_after else None
    if error.code == 429 or (idempotent and error.code in (503, *_GATEWAY_FAILURES)):
        return backoff(attempt)
    if idempotent and error.reason == "ServerTimeout":
        return backoff(attempt)
    return None


def backoff(attempt: int, first: float = _FIRST_DELAY, last: float = _LAST_DELAY) -> float:
    """Return an exponentially growing delay in seconds, with a jitter of up to a half of it."""
    delay: float = min(first * 2 ** min(attempt, 32), last) * (0.5 + random.random() / 2)  # noqa: S311 - no secret
    return delay


def parse_retry_after(text: str | None, now: float) -> int | None:
    """Parse a ``Retry-After`` header (RFC 9110, 10.2.3), a number or a date. Returns seconds, or None if it is invalid."""
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    try:
        return max(0, round(parsedate_to_datetime(text).timestamp() - now))
    except (ValueError, OverflowError):
        return None
