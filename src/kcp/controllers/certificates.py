"""The controller of CertificateSigningRequests: signs approved ones, and removes old ones.

Follows kube-controller-manager's signing and cleaning controllers, with their times. A request of a signer that is not served
here is left to other controllers, until it is old.
"""

from __future__ import annotations

import base64
import datetime as dt
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from kcp.api import documents
from kcp.auth.signing import SIGNERS, SigningRefusedError
from kcp.controllers.finalizing import ClusterKey
from kcp.controllers.following import present
from kcp.controllers.system import ignore_not_found, system_context
from kcp.controllers.work_queues import ControllerQueue, RetryError
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.requests import DeleteOptions, Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.large_work import in_thread
from kcp.registry.verbs.registry import Registry
from kcp.store.contract import Event, Range
from kcp.work_queues.pacing import Pacer

logger: Final = logging.getLogger(__name__)

STORAGE: Final = "certificatesigningrequests.certificates.k8s.io"
_DECIDED_LIFETIME: Final = dt.timedelta(hours=1)
_PENDING_LIFETIME: Final = dt.timedelta(hours=24)
_LONGEST_DELAY: Final = 3600.0
"""Seconds after which a request is looked at again in any case: the wall clock may be set."""
_CONFLICT: Final = 409

Object = dict[str, Any]
Sign = Callable[[bytes, LogicalClusterName, Sequence[str], int | None, dt.datetime], bytes]
"""Signs a PKCS #10 request for a logical cluster, with usages and seconds of validity.

Raises SigningRefusedError, SigningError.
"""


class SigningError(Exception):
    """Nothing can be signed at present; the message says why."""


def _utc() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class CertificateController:
    """Signs and cleans the requests of all logical clusters."""

    def __init__(self, registry: Registry, sign: Sign, now: Callable[[], dt.datetime] = _utc) -> None:
        self._registry = registry
        self._sign = sign
        self._now = now
        self._problem = ""
        """Why nothing can be signed, as it was logged last."""
        self._queue: ControllerQueue[ClusterKey] = ControllerQueue(STORAGE, self._reconcile, workers=1)
        self._unfollow = registry.store.follow(STORAGE, self._on_change)

    async def start(self) -> None:
        """Start, and queue the present requests."""
        self._queue.start()
        pacer = Pacer()
        async for records in present(self._registry.store, Range(STORAGE)):
            for record in records:
                await pacer.pause()
                self._queue.add(ClusterKey(record.key.cluster, record.key.name))

    async def stop(self) -> None:
        """Stop."""
        self._unfollow()
        await self._queue.stop()

    def _on_change(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.record is not None:
                self._queue.add(ClusterKey(event.key.cluster, event.key.name))

    def _type(self) -> ResourceType:
        return self._registry.catalog.builtin("certificates.k8s.io", "v1", "certificatesigningrequests")

    async def _reconcile(self, key: ClusterKey) -> None:
        record = self._registry.source.latest(self._type(), key.cluster, "", key.name)
        if record is None:
            return
        request = documents.decode_stored(record.value)
        now = self._now()
        end = end_of(request)
        if end is not None and end <= now:
            await self._remove(key, request)
            return
        if end is not None:
            self._queue.add_later(key, min((end - now).total_seconds() + 1, _LONGEST_DELAY))
        if waits_for_signature(request):
            await self._issue(key, request, now)

    async def _remove(self, key: ClusterKey, request: Object) -> None:
        """Delete a request in the state that was looked at."""
        options = DeleteOptions(uid=request["metadata"].get("uid"))
        await ignore_not_found(
            self._registry.delete(system_context(key.cluster), Target(self._type(), "", key.name), options)
        )

    async def _issue(self, key: ClusterKey, request: Object, now: dt.datetime) -> None:
        spec = request["spec"]
        content, usages = base64.b64decode(spec["request"]), spec.get("usages") or ()
        try:
            signed = await in_thread(self._sign, content, key.cluster, usages, spec.get("expirationSeconds"), now)
        except SigningRefusedError as refusal:
            why = str(refusal)
            await self._write(key, request, lambda status: with_failure(status, why))
            return
        except SigningError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                logger.error("certificates cannot be signed: %s", error)
            raise RetryError from error
        self._problem = ""
        certificate = base64.b64encode(signed).decode()
        await self._write(key, request, lambda status: {**status, "certificate": certificate})

    async def _write(self, key: ClusterKey, request: Object, change: Callable[[Object], Object]) -> None:
        """Change the status of the request that was looked at, not of another one of its name."""
        uid = request["metadata"].get("uid")

        def changed(old: Object) -> Object:
            same = old["metadata"].get("uid") == uid and waits_for_signature(old)
            return {**old, "status": change(old.get("status") or {})} if same else old

        target = Target(self._type(), "", key.name, "status")
        await ignore_not_found(self._registry.change(system_context(key.cluster), target, changed))


def waits_for_signature(request: Object) -> bool:
    """Whether a request is approved and neither signed nor failed, for a signer that is served here."""
    status = request.get("status") or {}
    types = {condition.get("type") for condition in status.get("conditions") or ()}
    signer = request["spec"].get("signerName")
    return (
        signer in SIGNERS and "Approved" in types and not types & {"Denied", "Failed"} and not status.get("certificate")
    )


def with_failure(status: Object, why: str) -> Object:
    """Return a status with the condition ``Failed``."""
    failed = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why}
    return {**status, "conditions": [*(status.get("conditions") or ()), failed]}


def end_of(request: Object) -> dt.datetime | None:
    """Return when a request is removed: its certificate expires, or it is old. None where a time is missing."""
    status = request.get("status") or {}
    conditions = status.get("conditions") or ()
    ends = [
        moment + _DECIDED_LIFETIME
        for condition in conditions
        if condition.get("type") in ("Approved", "Denied", "Failed")
        and (moment := _time(condition.get("lastUpdateTime")))
    ]
    if not conditions and (created := _time(request["metadata"].get("creationTimestamp"))):
        ends.append(created + _PENDING_LIFETIME)
    if (certificate := status.get("certificate")) and (expires := _expiration(certificate)):
        ends.append(expires)
    return min(ends, default=None)


def _time(value: Any) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None


def _expiration(certificate: str) -> dt.datetime | None:
    from kcp.auth.certificates import expiration

    try:
        return expiration(base64.b64decode(certificate))
    except ValueError:
        return None
