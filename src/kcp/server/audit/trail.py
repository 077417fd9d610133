"""The audit trail: the policy in force, the backends, and what is known of one request that the policy records.

The steps of a request tell an `AuditedRequest` what they find out; events of its stages go to every backend.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Any, Final

import orjson

from kcp.api import errors
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Decision
from kcp.auth.users import User
from kcp.registry.types.resource_types import ResourceType
from kcp.server.audit import events, redaction
from kcp.server.audit.backends import AuditBackend
from kcp.server.audit.events import NO_BODIES, AuditEvent, micro_time
from kcp.server.audit.metrics import AuditMetrics
from kcp.server.audit.policy import Policy, Recording
from kcp.server.audit.stages import (
    LEVELS,
    METADATA,
    NONE,
    REQUEST,
    REQUEST_RECEIVED,
    REQUEST_RESPONSE,
    STAGES,
)

_ALLOW, _FORBID = "allow", "forbid"
_FORBIDDEN: Final = 403
_QUOTE_BODIES: Final = frozenset({400, 409, 413, 415, 422, 500})
"""Codes whose messages may quote a part of the body."""
_OPTIONS: Final = "DeleteOptions"
_PREFIXES: Final = {
    (level, stage): b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"%b","stage":"%b",'
    % (level.encode(), stage.encode())
    for level in LEVELS
    for stage in STAGES
}
_RECEIVED: Final = b',"requestReceivedTimestamp":"'
_AT: Final = b'","stageTimestamp":"'
_REFERENCE: Final = b'","objectRef":'
_ONLY_IN_BODY: Final = (("uid", ""), ("resourceVersion", ""))


class AuditTrail:
    """Decides what is recorded, and hands events to the backends."""

    def __init__(self, policy: Policy, backends: Sequence[AuditBackend], metrics: AuditMetrics) -> None:
        self.policy = policy
        self._backends = tuple(backends)
        self._accept = self._backends[0].accept if len(self._backends) == 1 else self._accept_by_all
        self._metrics = metrics

    async def start(self) -> None:
        """Start the backends. Raises AuditOptionError."""
        for backend in self._backends:
            await backend.start()

    async def stop(self) -> None:
        """Stop the backends, which write what they have accepted."""
        for backend in self._backends:
            await backend.stop()

    def recording_of(self, user: User | None, attributes: AuthorizationAttributes) -> Recording | None:
        """Return how a request is recorded by the policy in force, or None when it is not."""
        found = self.policy.recording_of(user, attributes)
        self._metrics.levels[NONE if found is None else found.level] += 1
        return found

    def emit(self, event: AuditEvent) -> Awaitable[bool] | None:
        """Hand an event to the backends. Returns None, or, where the request must wait, whether all of them have it."""
        self._metrics.events += 1
        return self._accept(event)

    def _accept_by_all(self, event: AuditEvent) -> Awaitable[bool] | None:
        waiting = [found for backend in self._backends if (found := backend.accept(event)) is not None]
        return _all(waiting) if waiting else None

    def reject(self) -> errors.StatusError:
        """Return the refusal of a request whose event could not be written."""
        self._metrics.rejected += 1
        return errors.internal_error("failed to store audit event")


async def _all(waiting: Sequence[Awaitable[bool]]) -> bool:
    return all(await asyncio.gather(*waiting))


class AuditedRequest:
    """What is known of one request that is recorded."""

    __slots__ = (
        "_attributes",
        "_decision",
        "_failure",
        "_kind",
        "_names",
        "_omit_managed_fields",
        "_omit_stages",
        "_reason",
        "_received",
        "_reference",
        "_response",
        "_secret",
        "_start",
        "_trail",
        "_truncated",
        "impersonated",
        "level",
        "panicked",
        "records_request",
        "records_response",
        "request_body",
    )

    def __init__(
        self,
        trail: AuditTrail,
        recording: Recording,
        attributes: AuthorizationAttributes,
        head: tuple[bytes, ...],
        received: float,
    ) -> None:
        """``head`` are the members, encoded, that depend on the head of the request only; ``received`` is in seconds."""
        self._trail = trail
        recorded, self._omit_stages, self._omit_managed_fields = recording
        self.impersonated: User | None = None
        """The user as whom the request is served, where it is impersonated."""
        self.panicked = False
        """Whether a fault of the server ended the request."""
        self._attributes = attributes
        self._secret = attributes.is_resource and redaction.is_secret_resource(attributes)
        level = self.level = METADATA if self._secret else recorded
        self.records_response = level == REQUEST_RESPONSE
        """Whether the response's body is recorded."""
        self.records_request = level == REQUEST or self.records_response
        """Whether the request's body is recorded."""
        self._received = micro_time(received)
        self._start = b"".join((*head, _RECEIVED, self._received, _AT))
        """What is between the stage and the time of the stage in every event."""
        self._reference = _REFERENCE + events.encoded_reference(attributes) if attributes.is_resource else b'"'
        self._decision = self._reason = ""
        self._kind: object = None
        """The kind of the request's body."""
        self._names: dict[str, Any] | None = None
        self._failure: errors.StatusError | None = None
        self.request_body: bytes | None = None
        """The body of the request in JSON form."""
        self._response: bytes | None = None
        self._truncated = False

    def decide(self, decision: Decision) -> None:
        """Note the decision of the authorizers."""
        self._decision = _ALLOW if decision.allowed else _FORBID
        self._reason = decision.reason

    def find_type(self, type_: ResourceType | None) -> None:
        """Note the type of the resource: bodies of a type that holds confidential fields are not recorded.

        Nor are those of another kind.
        """
        if self._secret or type_ is None:
            return
        if redaction.is_secret_type(type_) or not self._may_hold(self._kind, type_):
            self._conceal()

    def _conceal(self) -> None:
        self._secret = True
        self.level = METADATA
        self.records_request = self.records_response = False
        self.request_body = self._response = None

    def request(self, obj: Any, type_: ResourceType | None) -> None:
        """Note the decoded body of the request. Set ``request_body`` afterwards, where ``records_request`` says so."""
        if isinstance(obj, dict):
            self._kind = obj.get("kind")
            meta = obj.get("metadata")
            if isinstance(meta, dict):
                self._names = meta
        if self.records_request:
            self.find_type(type_)

    def _may_hold(self, kind: object, type_: ResourceType) -> bool:
        """Whether a body may be of this kind. What is sent to the wrong path may be a secret."""
        if kind is None or kind == _OPTIONS:
            return True
        return not redaction.is_secret_kind(kind) and (bool(self._attributes.subresource) or kind == type_.kind)

    def respond(self, content: bytes | None) -> None:
        """Note the body of the response in JSON form; None where it has none."""
        if content is None:
            self.truncate()
        elif self.records_response:
            self._response = content

    def truncate(self) -> None:
        """Note that the response is too large to be recorded, or cannot be represented as JSON."""
        self._truncated = self.records_response

    def fail(self, failure: errors.StatusError) -> None:
        """Note the error that is the response."""
        self._failure = failure
        if failure.code == _FORBIDDEN and not self._decision:
            self._decision, self._reason = _FORBID, failure.message

    def record(self, stage: str, status: int = 0) -> Awaitable[bool] | None:
        """Hand the event of a stage to the backends. ``status`` is the code of the response.

        Returns None, or, where the request must wait, whether every backend has written the event.
        """
        if stage in self._omit_stages:
            return None
        return self._trail.emit(self._event(stage, status))

    def _event(self, stage: str, status: int) -> AuditEvent:
        moment = self._received if stage == REQUEST_RECEIVED else micro_time(time.time())
        attributes, level = self._attributes, self.level
        parts = [_PREFIXES[level, stage], self._start, moment, self._reference]
        if attributes.is_resource:
            parts.append(b"}" if self._names is None else self._named_in_body(self._names))
        if self.impersonated is not None:
            parts += (b',"impersonatedUser":', events.encoded_user(self.impersonated))
        if status:
            failure = self._failure
            quotes = not self._secret or failure is None or failure.code not in _QUOTE_BODIES
            parts += (b',"responseStatus":', events.response_status(status, failure, quotes=quotes))
        annotations = events.encoded_annotations(attributes.cluster, self._decision, self._reason)
        return AuditEvent(
            level,
            stage,
            b"".join(parts),
            events.truncated(annotations) if self._truncated else annotations,
            NO_BODIES if level == METADATA else (self.request_body, self._response),
            omit_managed_fields=self._omit_managed_fields,
        )

    def _named_in_body(self, names: dict[str, Any]) -> bytes:
        """The end of the reference to the object: the members that the path does not name and the body does."""
        attributes = self._attributes
        found = {}
        for key, in_path in (("name", attributes.name), ("namespace", attributes.namespace), *_ONLY_IN_BODY):
            if not in_path and key in names and type(value := names[key]) is str and value:
                found[key] = value
        return b"," + orjson.dumps(found)[1:] if found else b"}"
