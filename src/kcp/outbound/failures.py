"""What the failures of requests mean: a message without secrets, and whether another attempt may succeed."""

from __future__ import annotations

import os
import socket
import time
from http import HTTPStatus

from kcp.outbound.destinations import Destination
from kcp.outbound.errors import OutboundError


class RefusedAddressError(OSError):
    """A connection to an address that the destination may not have."""

    def __str__(self) -> str:
        return "the address is not allowed"


def refusal(destination: Destination, status: int, retry_after: str | None) -> OutboundError:
    """Return the error of an answer whose status is not a success. Its body is not looked at."""
    from kcp.client.transport.retrying import parse_retry_after

    if status < HTTPStatus.BAD_REQUEST:
        return OutboundError(f"{destination} answered {status}, a redirect: redirects are not followed", status=status)
    return OutboundError(
        f"{destination} answered with status {status}",
        status=status,
        retryable=status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR,
        retry_after=parse_retry_after(retry_after, time.time()),
    )


def failure(destination: Destination, error: Exception) -> OutboundError:
    """Return the error of a request without a complete answer."""
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or "certificate verify failed"
        return OutboundError(f"{destination} has a certificate that is not trusted: {why}")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return OutboundError(f"{destination} cannot be reached: the proxy refused with status {error.status}")
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = str(RefusedAddressError()) in str(error.os_error)
        return OutboundError(f"{destination} cannot be connected to: {_reason(error.os_error)}", retryable=not refused)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return OutboundError(f"{destination} cannot be connected to: timed out", retryable=True)
    if isinstance(error, aiohttp.InvalidURL):
        return OutboundError(f"{destination.described}: not a URL that requests can be sent to")
    why = getattr(error, "strerror", None) or type(error).__name__
    return OutboundError(f"{destination} broke the connection off: {why}", retryable=True)


def _reason(error: OSError) -> str:
    """Return why a connection failed, in the words of the system and without its addresses."""
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    return os.strerror(error.errno) if error.errno else str(error)
