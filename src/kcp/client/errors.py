"""The errors of the client.

A Status response is raised as a `StatusError`; its subclass follows from the reason, so that callers write ``except
NotFoundError``. A request without a valid response is a `TransportError`. Bad configuration and credentials have classes
of their own. No message contains a credential.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from kcp.api.errors import StatusError

__all__ = [
    "AlreadyExistsError",
    "BadRequestError",
    "ClientError",
    "ConfigurationError",
    "ConflictError",
    "CredentialsError",
    "DiscoveryError",
    "ExpiredError",
    "ForbiddenError",
    "InvalidError",
    "MethodNotAllowedError",
    "NotFoundError",
    "ServerTimeoutError",
    "ServiceUnavailableError",
    "StatusError",
    "TooManyRequestsError",
    "TransportError",
    "UnauthorizedError",
    "status_error",
]

_SHOWN: Final = 2048
"""Maximum number of characters of a server's words in a message."""


class ClientError(Exception):
    """The base class of errors other than Status responses."""


class ConfigurationError(ClientError, ValueError):
    """A kubeconfig or a `ClientConfiguration` is invalid. The message names the file, the entry and the field."""


class CredentialsError(ClientError):
    """Credentials could not be obtained: a file cannot be read, or an exec plugin failed."""


class DiscoveryError(ClientError, LookupError):
    """The API server serves no such resource, or no discovery at all."""


class TransportError(ClientError):
    """A request got no valid response: the connection failed, broke off or timed out, or the response is not an API server's.

    ``sent`` says whether the server may have received the request; ``final``, that another attempt would fail in the same
    way.
    """

    def __init__(self, message: str, *, sent: bool = True, final: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.final = final


class BadRequestError(StatusError):
    """400: the request is malformed."""


class UnauthorizedError(StatusError):
    """401: the credentials are missing, invalid or expired."""


class ForbiddenError(StatusError):
    """403: the user is not authorized."""


class NotFoundError(StatusError):
    """404: no such object, resource or path."""


class MethodNotAllowedError(StatusError):
    """405: the resource does not support the verb."""


class ConflictError(StatusError):
    """409: the resource version is stale, or another field manager owns a field."""


class AlreadyExistsError(StatusError):
    """409: an object of this name exists."""


class ExpiredError(StatusError):
    """410: the resource version or the continue token is older than the retained history."""


class InvalidError(StatusError):
    """422: the object is invalid; ``details`` has a cause for each field."""


class TooManyRequestsError(StatusError):
    """429: the server asks to retry later."""


class ServiceUnavailableError(StatusError):
    """503: the server is not ready or is shutting down."""


class ServerTimeoutError(StatusError):
    """500 or 504: the request timed out on the server, and may still take effect."""


_BY_REASON: Final[Mapping[str, type[StatusError]]] = {
    "BadRequest": BadRequestError,
    "Unauthorized": UnauthorizedError,
    "Forbidden": ForbiddenError,
    "NotFound": NotFoundError,
    "MethodNotAllowed": MethodNotAllowedError,
    "Conflict": ConflictError,
    "AlreadyExists": AlreadyExistsError,
    "Gone": ExpiredError,
    "Expired": ExpiredError,
    "Invalid": InvalidError,
    "TooManyRequests": TooManyRequestsError,
    "ServiceUnavailable": ServiceUnavailableError,
    "ServerTimeout": ServerTimeoutError,
    "Timeout": ServerTimeoutError,
}
_REASON_OF: Final[Mapping[int, str]] = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Gone",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
"""The reasons of responses without a Status, as in client-go."""


def described(error: Exception) -> str:
    """Return an error of a request as a message for others than its caller: what a server says counts only in a Status.

    The address may be that of any server, whose text is not repeated. A Status without details has empty ones.
    """
    if isinstance(error, StatusError) and error.details is None:
        return f"the server answered {error.code} {error.reason}".rstrip()
    return str(error)[:_SHOWN] or type(error).__name__


def status_error(code: int, body: bytes, retry_after: int | None = None) -> StatusError:
    """Return the error of a response: from its ``Status``, or from its code and text, such as those of a proxy."""
    try:
        decoded = orjson.loads(body)
    except ValueError:
        decoded = None
    if isinstance(decoded, dict) and decoded.get("kind") == "Status":
        return error_of_status(decoded, code, retry_after)
    text = body[: 4 * _SHOWN].decode("utf-8", "replace").strip()[:_SHOWN]
    return _error(
        code, _REASON_OF.get(code, ""), text or f"the server answered {code} without a body", None, retry_after
    )


def error_of_status(status: Mapping[str, Any], code: int = 500, retry_after: int | None = None) -> StatusError:
    """Return the error of a ``Status`` object. ``code`` is used if it has none. Fields of a wrong type are ignored."""
    own_code, details = status.get("code"), status.get("details")
    code = own_code if type(own_code) is int and own_code >= 400 else code
    details = details if isinstance(details, dict) else {}
    seconds = details.get("retryAfterSeconds")
    if retry_after is None and type(seconds) is int and seconds > 0:
        retry_after = seconds
    reason = _text(status.get("reason")) or _REASON_OF.get(code, "")
    message = _text(status.get("message")) or reason or f"the server answered {code}"
    return _error(code, reason, message, details, retry_after)


def _error(
    code: int, reason: str, message: str, details: dict[str, Any] | None, retry_after: int | None
) -> StatusError:
    kind = _BY_REASON.get(reason) or _BY_REASON.get(_REASON_OF.get(code, ""), StatusError)
    return kind(code, reason, message, details=details, retry_after=retry_after)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
