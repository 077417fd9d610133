"""Audit events (audit.k8s.io/v1 ``Event``): what is known of a request at a stage, encoded as one line of JSON.

Bodies go in as the bytes that were received and are sent: nothing is decoded for an event, unless managed fields are left out.
"""

from __future__ import annotations

import time
from functools import cache, lru_cache
from typing import Any, Final

import orjson

from kcp.api import documents, errors
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.users import User, user_info
from kcp.logical_clusters import ANNOTATION

_EVENT: Final = b'%b,"annotations":{%b}}'
_LINE_BREAKS: Final = bytes.maketrans(b"\n\r", b"  ")
"""Line breaks of a body in JSON are between its tokens: those in strings are escaped."""
_MANAGED_FIELDS: Final = b'"managedFields"'
_TRUNCATED: Final = b',"audit.k8s.io/truncated":"true"'
"""The annotation of an event whose bodies were left out because of its size (Kubernetes)."""
Bodies = tuple[bytes | None, bytes | None]
"""The bodies of a request and of its response, where they are recorded."""
NO_BODIES: Final[Bodies] = (None, None)
_CACHE_SIZE: Final = 1024
_CACHED_LENGTH: Final = 512

_last_second = (0, b"")


def micro_time(seconds: float) -> bytes:
    """Return a time in seconds since the epoch as a ``MicroTime``."""
    global _last_second  # noqa: PLW0603 - a cache of one entry, replaced as a whole
    whole = int(seconds)
    second, text = _last_second
    if second != whole:
        text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(whole)).encode()
        _last_second = (whole, text)
    return b"%b%06dZ" % (text, int((seconds - whole) * 1_000_000))


@lru_cache(_CACHE_SIZE)
def encoded_user(user: User) -> bytes:
    """Return a user as ``UserInfo``."""
    return orjson.dumps(user_info(user))


@lru_cache(_CACHE_SIZE)
def encoded_annotations(cluster: str, decision: str, reason: str) -> bytes:
    """Return the annotations of a request, without the braces. Without a decision, there is only the logical cluster."""
    found = {ANNOTATION: cluster}
    if decision:
        found |= {"authorization.k8s.io/decision": decision, "authorization.k8s.io/reason": reason}
    return orjson.dumps(found)[1:-1]


def encoded_reference(attributes: AuthorizationAttributes) -> bytes:
    """Return the object of a request as its path names it (``ObjectReference``), without the closing brace."""
    resource, namespace, group = attributes.resource, attributes.namespace, attributes.group
    encode = _encoded_collection if len(resource) + len(namespace) + len(group) < _CACHED_LENGTH else _encode_collection
    start, end = encode(resource, namespace, group, attributes.version, attributes.subresource)
    name = attributes.name
    return b'%b,"name":%b%b' % (start, orjson.dumps(name), end) if name else start + end


def _encode_collection(
    resource: str, namespace: str, group: str, version: str, subresource: str
) -> tuple[bytes, bytes]:
    """The members of a reference before and behind the object's name."""
    start = {"resource": resource}
    if namespace:
        start["namespace"] = namespace
    end = {"apiGroup": group} if group else {}
    end["apiVersion"] = version
    if subresource:
        end["subresource"] = subresource
    return orjson.dumps(start)[:-1], b"," + orjson.dumps(end)[1:-1]


_encoded_collection: Final = lru_cache(_CACHE_SIZE)(_encode_collection)


def body_of_json(content: bytes) -> bytes:
    """Return a JSON document without line breaks, so that an event stays one line."""
    content = content.strip()
    return content.translate(_LINE_BREAKS) if b"\n" in content or b"\r" in content else content


class AuditEvent:
    """An event of one stage. It is encoded when a backend needs it; backends share the result.

    ``size`` is about the number of its bytes.
    """

    __slots__ = (
        "_annotations",
        "_bodies",
        "_encoded",
        "_members",
        "_omit_managed_fields",
        "level",
        "size",
        "stage",
    )

    def __init__(
        self,
        level: str,
        stage: str,
        members: bytes,
        annotations: bytes,
        bodies: Bodies,
        *,
        omit_managed_fields: bool,
    ) -> None:
        """``members`` is the JSON of the event up to its bodies, ``annotations`` that of the annotations without braces."""
        self.level = level
        self.stage = stage
        self._members = members
        self._annotations = annotations
        self._bodies = bodies
        self.size = 256 + len(members)
        if bodies is not NO_BODIES:
            self.size += sum(len(body) for body in bodies if body is not None)
        self._omit_managed_fields = omit_managed_fields
        self._encoded: bytes | None = None

    def encode(self) -> bytes:
        """Return the event as JSON without line breaks. May be called in any thread."""
        if self._encoded is None:
            members, (request, response) = self._members, self._bodies
            if request is not None:
                members += b',"requestObject":' + self._form(request)
            if response is not None:
                members += b',"responseObject":' + self._form(response)
            self._encoded = _EVENT % (members, self._annotations)
            self._bodies = NO_BODIES
        return self._encoded

    def encode_truncated(self) -> bytes:
        """Return the event without bodies, and an annotation that says so."""
        return _EVENT % (self._members, truncated(self._annotations.removesuffix(_TRUNCATED)))

    def _form(self, body: bytes) -> bytes:
        if self._omit_managed_fields and _MANAGED_FIELDS in body:
            body = orjson.dumps(_without_managed_fields(documents.decode_stored(body)))
        return body_of_json(body)


def truncated(annotations: bytes) -> bytes:
    """Return encoded annotations with the one of an event whose response was left out."""
    return annotations + _TRUNCATED


def _without_managed_fields(obj: Any) -> Any:
    """Remove the managed fields of an object, of the items of a list, or of the objects of a table's rows."""
    if not isinstance(obj, dict):
        return obj
    items, rows = obj.get("items"), obj.get("rows")
    within = [*items] if isinstance(items, list) else []
    if isinstance(rows, list):
        within += [row.get("object") for row in rows if isinstance(row, dict)]
    for each in (obj, *within):
        _drop(each)
    return obj


def _drop(obj: Any) -> None:
    meta = obj.get("metadata") if isinstance(obj, dict) else None
    if isinstance(meta, dict):
        meta.pop("managedFields", None)


@cache
def _success(code: int) -> bytes:
    return b'{"metadata":{},"code":%d}' % code


def response_status(code: int, failure: errors.StatusError | None, *, quotes: bool) -> bytes:
    """Return the ``responseStatus``. Without ``quotes``, a message that may quote the request's body is left out."""
    if failure is None:
        return _success(code)
    status: dict[str, Any] = {"metadata": {}, "status": "Failure"}
    if quotes:
        status["message"] = failure.message
    if failure.reason:
        status["reason"] = failure.reason
    if failure.details and quotes:
        status["details"] = failure.details
    status["code"] = code
    return orjson.dumps(status)
