"""The one error that crosses layers: a Kubernetes ``Status`` as an exception.

Whatever refuses a request raises StatusError with the code, reason and message that kube-apiserver would answer
(Kubernetes API conventions, "Response Status Kind"); the HTTP edge only prints it. Everything else that escapes is a bug
and becomes a 500.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from kcp.api.field_errors import FieldError
from kcp.api.kinds import GroupKind, GroupResource


class StatusError(Exception):
    """A refusal with everything a client needs to understand it."""

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
        """``details`` of None are left out, empty ones shown; ``plain`` is for the few that Kubernetes answers in plain text."""
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


def _about(resource: GroupResource | GroupKind, name: str) -> dict[str, Any]:
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
    return StatusError(404, "NotFound", f'{resource} "{name}" not found', details=_about(resource, name))


def unknown_path() -> StatusError:
    """404: no such resource in a group that is built in (kubectl tells it from a missing object by the details)."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def page_not_found() -> StatusError:
    """404: no such path, and no such group: Go's answer in plain text, from which clients conclude the same."""
    return StatusError(404, "NotFound", "404 page not found", plain=True)


def already_exists(resource: GroupResource, name: str) -> StatusError:
    """409: create of a name that is taken."""
    return StatusError(409, "AlreadyExists", f'{resource} "{name}" already exists', details=_about(resource, name))


def generated_name_conflict(resource: GroupResource, name: str) -> StatusError:
    """409: every generated name that was tried is taken."""
    message = f'{resource} "{name}" already exists, the server was not able to generate a unique name for the object'
    return StatusError(409, "AlreadyExists", message, details=_about(resource, name), retry_after=1)


def conflict(resource: GroupResource, name: str, why: str, causes: Iterable[dict[str, str]] = ()) -> StatusError:
    """409: the object is not in the state that the request supposes."""
    details = _about(resource, name)
    if causes := list(causes):
        details["causes"] = causes
    message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return StatusError(409, "Conflict", message, details=details)


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(kind: GroupKind, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422: the object breaks rules; one cause per field error."""
    details = _about(kind, name)
    details["causes"] = [error.cause() for error in errors]
    if len(errors) == 1:
        summary = str(errors[0])
    elif errors:
        seen = dict.fromkeys(str(error) for error in errors)
        summary = next(iter(seen)) if len(seen) == 1 else f"[{', '.join(seen)}]"
    else:
        summary = ""
    return StatusError(422, "Invalid", f'{kind} "{name}" is invalid: {summary}', details=details)


def bad_request(message: str) -> StatusError:
    """400: the request itself cannot be understood."""
    return StatusError(400, "BadRequest", message)


class UndecodableError(StatusError):
    """400: a body that is no object of its type. ``why`` goes without what is ``described`` before it in the message."""

    def __init__(self, why: str, described: str = "") -> None:
        super().__init__(400, "BadRequest", described + why)
        self.why = why


def undeterminable_name(name: str) -> StatusError:
    """400: an object without a name where the URL has one."""
    return bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")


def unauthorized(message: str = "Unauthorized") -> StatusError:
    """401: credentials are missing or not accepted."""
    return StatusError(401, "Unauthorized", message, headers=((b"www-authenticate", b'Bearer realm="kubernetes"'),))


def forbidden(resource: GroupResource, name: str, why: str) -> StatusError:
    """403: authenticated, and not allowed; ``why`` follows ``is forbidden:``."""
    subject = f'{resource} "{name}"' if name else str(resource)
    text = f"{subject} is forbidden: {why}" if resource.resource else f"forbidden: {why}"
    return StatusError(403, "Forbidden", text, details=_about(resource, name))


def method_not_supported(resource: GroupResource, action: str) -> StatusError:
    """405: the custom resource is there and does not do this."""
    message = f'{action} is not supported on resources of kind "{resource}"'
    return StatusError(405, "MethodNotAllowed", message, details=_about(resource, ""))


def method_not_allowed(
    message: str = "the server does not allow this method on the requested resource",
) -> StatusError:
    """405: the path is there and does not take this method."""
    return StatusError(405, "MethodNotAllowed", message, details={})


def not_acceptable(accepted: Sequence[str]) -> StatusError:
    """406: none of the media types in ``Accept`` can be produced."""
    message = f"only the following media types are accepted: {', '.join(accepted)}"
    return StatusError(406, "NotAcceptable", message)


def unsupported_media_type(accepted: Sequence[str]) -> StatusError:
    """415: the body's media type cannot be read."""
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, "UnsupportedMediaType", message)


def expired(message: str) -> StatusError:
    """410: the resource version is older than the retained history."""
    return StatusError(410, "Expired", message)


def too_large_resource_version(requested: int, current: int) -> StatusError:
    """504: the client has seen a revision that this server has not reached."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Too large resource version: {requested}, current: {current}"
    return StatusError(504, "Timeout", message, details=details)


def request_entity_too_large(message: str) -> StatusError:
    """413: the body, or what it would become, is over a limit."""
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {message}")


def too_many_requests(message: str, retry_after: int = 1) -> StatusError:
    """429: come back after ``retry_after`` seconds."""
    return StatusError(429, "TooManyRequests", message, retry_after=retry_after)


def server_timeout(resource: GroupResource, operation: str, retry_after: int = 1) -> StatusError:
    """500: not finished in time; the client may ask again."""
    message = f"The {operation} operation against {resource} could not be completed at this time, please try again."
    return StatusError(500, "ServerTimeout", message, details=_about(resource, ""), retry_after=retry_after)


def service_unavailable(message: str, retry_after: int = 1) -> StatusError:
    """503: not ready, or shutting down."""
    return StatusError(503, "ServiceUnavailable", message, retry_after=retry_after)


def internal_error(message: str) -> StatusError:
    """500: the server is at fault."""
    return StatusError(500, "InternalError", f"Internal error occurred: {message}")
