"""Audit events (audit.k8s.io/v1 ``Event``): what is known of a request at a stage, encoded as one line of JSON.

Bodies go in as the bytes that were received and are sent: nothing is decoded for an event, unless managed fields are left out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from kcp.api import documents, errors
from kcp.auth.users import User, user_info

_HEAD: Final = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"%b","stage":"%b",%b,%b'
_LINE_BREAKS: Final = bytes.maketrans(b"\n\r", b"  ")
"""Line breaks of a body in JSON are between its tokens: those in strings are escaped."""
_MANAGED_FIELDS: Final = b'"managedFields"'
TRUNCATED: Final = "audit.k8s.io/truncated"
"""The annotation of an event whose bodies were left out because of its size (Kubernetes)."""

_last_second = (0, "")


def micro_time(seconds: float) -> str:
    """Return a time in seconds since the epoch as a ``MicroTime``."""
    global _last_second  # noqa: PLW0603 - a cache of one entry, replaced as a whole
    whole = int(seconds)
    second, text = _last_second
    if second != whole:
        text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(whole))
        _last_second = (whole, text)
    return f"{text}{int((seconds - whole) * 1_000_000):06d}Z"


@lru_cache(1024)
def encoded_user(user: User) -> orjson.Fragment:
    """Return a user as ``UserInfo``."""
    return orjson.Fragment(orjson.dumps(user_info(user)))


def body_of_json(content: bytes) -> bytes:
    """Return a JSON document without line breaks, so that an event stays one line."""
    content = content.strip()
    return content.translate(_LINE_BREAKS) if b"\n" in content or b"\r" in content else content


class AuditEvent:
    """An event of one stage. It is encoded when a backend needs it; backends share the result."""

    __slots__ = ("_encoded", "_facts", "_omit_managed_fields", "_request", "_response", "head", "level", "stage")

    def __init__(
        self,
        level: str,
        stage: str,
        head: bytes,
        facts: dict[str, Any],
        bodies: tuple[bytes | None, bytes | None] = (None, None),
        *,
        omit_managed_fields: bool = False,
    ) -> None:
        """``head`` are the members that all events of the request share, encoded; ``bodies`` the request's and the response's."""
        self.level = level
        self.stage = stage
        self.head = head
        self._facts = facts
        self._request, self._response = bodies
        self._omit_managed_fields = omit_managed_fields
        self._encoded: bytes | None = None

    @property
    def size(self) -> int:
        """The bytes of the event, exact once it is encoded."""
        if self._encoded is not None:
            return len(self._encoded)
        return 1024 + len(self.head) + len(self._request or b"") + len(self._response or b"")

    def encode(self) -> bytes:
        """Return the event as JSON without line breaks. May be called in any thread."""
        if self._encoded is None:
            facts = self._facts
            for name, body in (("requestObject", self._request), ("responseObject", self._response)):
                if body is not None:
                    facts = {**facts, name: self._fragment(body)}
            self._encoded = self._joined(facts)
            self._request = self._response = None
        return self._encoded

    def encode_truncated(self) -> bytes:
        """Return the event without bodies, and an annotation that says so."""
        annotations = {**self._facts.get("annotations", {}), TRUNCATED: "true"}
        return self._joined({**self._facts, "annotations": annotations})

    def _joined(self, facts: Mapping[str, Any]) -> bytes:
        return _HEAD % (self.level.encode(), self.stage.encode(), self.head, orjson.dumps(facts)[1:])

    def _fragment(self, body: bytes) -> orjson.Fragment:
        if self._omit_managed_fields and _MANAGED_FIELDS in body:
            body = orjson.dumps(_without_managed_fields(documents.decode_stored(body)))
        return orjson.Fragment(body_of_json(body))


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


def response_status(code: int, failure: errors.StatusError | None, *, quotes: bool) -> dict[str, Any]:
    """Return the ``responseStatus``. Without ``quotes``, a message that may quote the request's body is left out."""
    if failure is None:
        return {"metadata": {}, "code": code}
    status: dict[str, Any] = {"metadata": {}, "status": "Failure"}
    if quotes:
        status["message"] = failure.message
    if failure.reason:
        status["reason"] = failure.reason
    if failure.details and quotes:
        status["details"] = failure.details
    status["code"] = code
    return status
