"""A Kubernetes ``Status`` as an exception: the one error that crosses layers.

Code that refuses a request raises StatusError with the code, reason and message that kube-apiserver answers (Kubernetes API
conventions, "Response Status Kind"); the HTTP layer only serializes it. Any other exception is a bug and becomes a 500.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from kcp.api.field_errors import MAX_ERRORS, MAX_ERRORS_LENGTH, FieldError, shorten
from kcp.api.kinds import GroupKind, GroupResource


class StatusError(Exception):
    """A refused request: the code, reason, message and details of its ``Status``."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
        plain: bool = False,
    ) -> None:
        """``details`` of None are omitted, empty ones are not. ``plain`` marks answers that Kubernetes gives as plain text."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after
        self.headers = headers
        self.plain = plain
        self.list_metadata: dict[str, str] = {}

    def __str__(self) -> str:
        return self.message

    def status(self) -> dict[str, Any]:
        """The ``Status`` object of this error."""
        body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": self.list_metadata}
        body["status"] = "Failure"
        body["message"] = self.message
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None or self.retry_after is not None:
            body["details"] = dict(self.details or {})
            if self.retry_after is not None:
                body["details"]["retryAfterSeconds"] = self.retry_after
        body["code"] = self.code
        return body


def details_of(resource: GroupResource | GroupKind, name: str) -> dict[str, Any]:
    """The details that name an object."""
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    if resource[1]:
        details["kind"] = resource[1]
    return details


def not_found(resource: GroupResource, name: str) -> StatusError:
    """404: no object of this name."""
    return StatusError(404, "NotFound", f'{resource} "{name}" not found', details=details_of(resource, name))


def unknown_path() -> StatusError:
    """404: no such resource in a built-in group. kubectl recognizes it by the empty details."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def page_not_found() -> StatusError:
    """404: no such path or group. Plain text, as Go's HTTP server answers: clients recognize it."""
    return StatusError(404, "NotFound", "404 page not found", plain=True)


def already_exists(resource: GroupResource, name: str, *, deleted: bool = False) -> StatusError:
    """409: a create under a name that exists; ``deleted``: the object waits for its finalizers."""
    message = f'{"object is being deleted: " if deleted else ""}{resource} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, details=details_of(resource, name))


def generated_name_conflict(resource: GroupResource, name: str) -> StatusError:
    """409: every generated name that was tried exists."""
    message = f'{resource} "{name}" already exists, the server was not able to generate a unique name for the object'
    return StatusError(409, "AlreadyExists", message, details=details_of(resource, name), retry_after=1)


def conflict(resource: GroupResource, name: str, why: str, causes: Iterable[dict[str, str]] = ()) -> StatusError:
    """409: the object is not in the state that the request expects."""
    details = details_of(resource, name)
    if causes := list(causes):
        details["causes"] = causes
    message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return StatusError(409, "Conflict", message, details=details)


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(kind: GroupKind, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422: the object is invalid; one cause per field error."""
    name = shorten(name)
    details = details_of(kind, name)
    details["causes"], texts = _causes(errors)
    summary = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""
    return StatusError(422, "Invalid", f'{kind} "{name}" is invalid: {summary}', details=details)


def _causes(errors: Sequence[FieldError]) -> tuple[list[dict[str, str]], list[str]]:
    """The causes, and the distinct texts for the message. Beyond a limit in number or size, a last one counts the rest."""
    causes: list[dict[str, str]] = []
    texts: dict[str, None] = {}
    size = 0
    for error in errors:
        if len(causes) == MAX_ERRORS or size > MAX_ERRORS_LENGTH:
            note = (
                f"too many errors: the first {len(causes)} are shown, at least {len(errors) - len(causes)} more are not"
            )
            causes.append({"message": note})
            texts[note] = None
            break
        cause = error.cause()
        causes.append(cause)
        text = f"{cause['field']}: {cause['message']}" if cause["field"] else cause["message"]
        texts[text] = None
        size += len(text)
    return causes, list(texts)


def bad_request(message: str) -> StatusError:
    """400: the request is malformed."""
    return StatusError(400, "BadRequest", message)


class UndecodableError(StatusError):
    """400: the body does not decode as its type. ``why`` is the message without the prefix ``described``."""

    def __init__(self, why: str, described: str = "") -> None:
        super().__init__(400, "BadRequest", described + why)
        self.why = why


def undeterminable_name(name: str) -> StatusError:
    """400: the URL has a name and the object has none."""
    return bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")


def unauthorized(message: str = "Unauthorized") -> StatusError:
    """401: credentials are missing or invalid."""
    return StatusError(401, "Unauthorized", message, headers=((b"www-authenticate", b'Bearer realm="kubernetes"'),))


def forbidden(resource: GroupResource, name: str, why: str) -> StatusError:
    """403: the user may not do this. ``why`` follows ``is forbidden:`` in the message."""
    subject = f'{resource} "{name}"' if name else str(resource)
    text = f"{subject} is forbidden: {why}" if resource.resource else f"forbidden: {why}"
    return StatusError(403, "Forbidden", text, details=details_of(resource, name))


def method_not_supported(resource: GroupResource, action: str) -> StatusError:
    """405: the custom resource does not support this action."""
    message = f'{action} is not supported on resources of kind "{resource}"'
    return StatusError(405, "MethodNotAllowed", message, details=details_of(resource, ""))


def method_not_allowed(
    message: str = "the server does not allow this method on the requested resource",
) -> StatusError:
    """405: the path exists and does not support this method."""
    return StatusError(405, "MethodNotAllowed", message, details={})


def not_acceptable(accepted: Sequence[str]) -> StatusError:
    """406: no media type in ``Accept`` is supported."""
    message = f"only the following media types are accepted: {', '.join(accepted)}"
    return StatusError(406, "NotAcceptable", message)


def not_encodable(kind: str, name: str, why: object) -> StatusError:
    """406: the client accepts only protobuf, and the object of a CRD has a value that its kind's message cannot hold."""
    message = f'{kind} "{name}" cannot be encoded as a protobuf message: {why}; accept application/json'
    return StatusError(406, "NotAcceptable", message)


def unsupported_media_type(accepted: Sequence[str]) -> StatusError:
    """415: the media type of the body is not supported."""
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, "UnsupportedMediaType", message)


def expired(message: str) -> StatusError:
    """410: the resource version is older than the retained history."""
    return StatusError(410, "Expired", message)


def too_large_resource_version(requested: int, current: int) -> StatusError:
    """504: the requested resource version is newer than the server's revision."""
    details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
    message = f"Timeout: Too large resource version: {requested}, current: {current}"
    return StatusError(504, "Timeout", message, details=details, retry_after=1)


def request_entity_too_large(message: str) -> StatusError:
    """413: the body, or its expansion, exceeds a limit."""
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {message}")


def too_many_requests(message: str, retry_after: int = 1) -> StatusError:
    """429: retry after ``retry_after`` seconds."""
    return StatusError(429, "TooManyRequests", message, retry_after=retry_after)


def server_timeout(resource: GroupResource, operation: str, retry_after: int = 1) -> StatusError:
    """500: the operation did not finish in time; the client may retry."""
    message = f"The {operation} operation against {resource} could not be completed at this time, please try again."
    return StatusError(500, "ServerTimeout", message, details=details_of(resource, ""), retry_after=retry_after)


def service_unavailable(message: str, retry_after: int = 1) -> StatusError:
    """503: not ready, or shutting down."""
    return StatusError(503, "ServiceUnavailable", message, retry_after=retry_after)


def internal_error(message: str) -> StatusError:
    """500: an error of the server."""
    return StatusError(500, "InternalError", f"Internal error occurred: {message}")
