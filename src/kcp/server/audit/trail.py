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
from kcp.logical_clusters import ANNOTATION
from kcp.registry.types.resource_types import ResourceType
from kcp.server.audit import redaction
from kcp.server.audit.backends import AuditBackend
from kcp.server.audit.events import TRUNCATED, AuditEvent, encoded_user, micro_time, response_status
from kcp.server.audit.metrics import AuditMetrics
from kcp.server.audit.policy import METADATA, NONE, REQUEST, REQUEST_RECEIVED, REQUEST_RESPONSE, Policy, Recording

_DECISION: Final = "authorization.k8s.io/decision"
_REASON: Final = "authorization.k8s.io/reason"
_ALLOW, _FORBID = "allow", "forbid"
_FORBIDDEN: Final = 403
_QUOTE_BODIES: Final = frozenset({400, 409, 413, 415, 422, 500})
"""Codes whose messages may quote a part of the body."""
_NAMES: Final = ("name", "namespace", "uid", "resourceVersion")
_OPTIONS: Final = "DeleteOptions"


class AuditTrail:
    """Decides what is recorded, and hands events to the backends."""

    def __init__(self, policy: Policy, backends: Sequence[AuditBackend], metrics: AuditMetrics) -> None:
        self.policy = policy
        self._backends = tuple(backends)
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
        waiting = [found for backend in self._backends if (found := backend.accept(event)) is not None]
        return _all(waiting) if waiting else None

    def reject(self) -> errors.StatusError:
        """Return the refusal of a request whose event could not be written."""
        self._metrics.rejected += 1
        return errors.internal_error("failed to store audit event")


async def _all(waiting: Sequence[Awaitable[bool]]) -> bool:
    return all(await asyncio.gather(*waiting)) if len(waiting) > 1 else await waiting[0]


class AuditedRequest:
    """What is known of one request that is recorded."""

    __slots__ = (
        "_annotations",
        "_attributes",
        "_failure",
        "_head",
        "_names",
        "_received",
        "_recording",
        "_response",
        "_secret",
        "_trail",
        "_truncated",
        "impersonated",
        "level",
        "panicked",
        "request_body",
    )

    def __init__(
        self,
        trail: AuditTrail,
        recording: Recording,
        attributes: AuthorizationAttributes,
        user: User | None,
        head: dict[str, Any],
        received: float,
    ) -> None:
        """``head`` are the members of the request's events that depend on its head only; ``received`` is in seconds."""
        self._trail = trail
        self._recording = recording
        self.impersonated: User | None = None
        """The user as whom the request is served, where it is impersonated."""
        self.panicked = False
        """Whether a fault of the server ended the request."""
        self._attributes = attributes
        self._secret = redaction.is_secret_resource(attributes)
        self.level = METADATA if self._secret else recording.level
        head["user"] = {} if user is None else encoded_user(user)
        head["requestReceivedTimestamp"] = micro_time(received)
        self._head = orjson.dumps(head)[1:-1]
        self._received = received
        self._annotations: dict[str, str] = {ANNOTATION: attributes.cluster}
        self._names: dict[str, str] = {}
        self._failure: errors.StatusError | None = None
        self.request_body: bytes | None = None
        """The body of the request in JSON form."""
        self._response: bytes | None = None
        self._truncated = False

    @property
    def records_request(self) -> bool:
        """Whether the request's body is recorded."""
        return self.level in (REQUEST, REQUEST_RESPONSE)

    @property
    def records_response(self) -> bool:
        """Whether the response's body is recorded."""
        return self.level == REQUEST_RESPONSE

    def decide(self, decision: Decision) -> None:
        """Note the decision of the authorizers."""
        self._annotations[_DECISION] = _ALLOW if decision.allowed else _FORBID
        self._annotations[_REASON] = decision.reason

    def find_type(self, type_: ResourceType | None) -> None:
        """Note the type of the resource: bodies of a type that holds confidential fields are not recorded."""
        if not self._secret and type_ is not None and redaction.is_secret_type(type_):
            self._secret = True
            self.level = METADATA
            self.request_body = self._response = None

    def request(self, obj: Any, type_: ResourceType | None) -> None:
        """Note the decoded body of the request. Set ``request_body`` afterwards, where ``records_request`` says so."""
        self.find_type(type_)
        if isinstance(obj, dict):
            meta = obj.get("metadata")
            if isinstance(meta, dict):
                self._names = {key: value for key in _NAMES if isinstance(value := meta.get(key), str)}
            if not self._secret and not self._may_hold(obj.get("kind"), type_):
                self._secret = True
                self.level = METADATA

    def _may_hold(self, kind: object, type_: ResourceType | None) -> bool:
        """Whether a body may be of this kind. What is sent to the wrong path may be a secret."""
        if kind is None or type_ is None or kind == _OPTIONS:
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
        if failure.code == _FORBIDDEN and _DECISION not in self._annotations:
            self._annotations[_DECISION] = _FORBID
            self._annotations[_REASON] = failure.message

    async def record(self, stage: str, status: int = 0) -> bool:
        """Hand the event of a stage to the backends; wait where they block. ``status`` is the code of the response.

        Returns whether every backend that blocks its requests has written the event.
        """
        if stage in self._recording.omit_stages:
            return True
        waiting = self._trail.emit(self._event(stage, status))
        return waiting is None or await waiting

    def _event(self, stage: str, status: int) -> AuditEvent:
        moment = self._received if stage == REQUEST_RECEIVED else time.time()
        facts: dict[str, Any] = {"stageTimestamp": micro_time(moment)}
        if self._attributes.is_resource:
            facts["objectRef"] = self._object_reference()
        if self.impersonated is not None:
            facts["impersonatedUser"] = encoded_user(self.impersonated)
        if status:
            failure = self._failure
            quotes = not self._secret or failure is None or failure.code not in _QUOTE_BODIES
            facts["responseStatus"] = response_status(status, failure, quotes=quotes)
        facts["annotations"] = {**self._annotations, TRUNCATED: "true"} if self._truncated else {**self._annotations}
        return AuditEvent(
            self.level,
            stage,
            self._head,
            facts,
            (None, None) if self._secret else (self.request_body, self._response),
            omit_managed_fields=self._recording.omit_managed_fields,
        )

    def _object_reference(self) -> dict[str, str]:
        attributes, names = self._attributes, self._names
        found = {
            "resource": attributes.resource,
            "namespace": attributes.namespace or names.get("namespace", ""),
            "name": attributes.name or names.get("name", ""),
            "uid": names.get("uid", ""),
            "apiGroup": attributes.group,
            "apiVersion": attributes.version,
            "resourceVersion": names.get("resourceVersion", ""),
            "subresource": attributes.subresource,
        }
        return {key: value for key, value in found.items() if value}
