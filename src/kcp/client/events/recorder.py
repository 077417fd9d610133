"""A recorder of Events of the core group that writes them in the background."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

from kcp.api.names import is_dns1123_subdomain
from kcp.api.times import now as now_text
from kcp.client.client import Client
from kcp.client.errors import AlreadyExistsError, ClientError, NotFoundError, StatusError
from kcp.client.events.correlation import REMEMBERED, Correlator, EventWrite, Occurrence
from kcp.client.objects import Object
from kcp.client.resource_client import ResourceClient
from kcp.client.resources import APIResource
from kcp.client.transport.retrying import backoff
from kcp.logical_clusters import ANNOTATION, UNNAMED, LogicalClusterName

EVENTS: Final = APIResource("", "v1", "events", "Event")
_WAITING: Final = 1000
_ATTEMPTS: Final = 12
_MESSAGE: Final = 1024
"""Maximum number of characters of a message."""

logger = logging.getLogger(__name__)


class _Written(NamedTuple):
    name: str
    namespace: str


class EventRecorder:
    """Records Events in the background: ``async with EventRecorder(client, "my-controller") as events``.

    On exit it writes queued events, for ``closing_seconds`` at most.
    """

    def __init__(
        self,
        client: Client,
        component: str,
        *,
        instance: str = "",
        clock: Callable[[], float] = time.monotonic,
        closing_seconds: float = 5.0,
    ) -> None:
        self._client = client
        self._component = component
        self._instance = instance
        self._correlator = Correlator(clock)
        self._closing_seconds = closing_seconds
        self._waiting: asyncio.Queue[tuple[Object, LogicalClusterName, EventWrite]] = asyncio.Queue(_WAITING)
        self._written: OrderedDict[Hashable, _Written] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def event(
        self, regarding: Object, type_: str, reason: str, message: str, annotations: Mapping[str, str] | None = None
    ) -> None:
        """Record an event about an object. ``type_`` is ``Normal`` or ``Warning``, ``reason`` a word in CamelCase for programs.

        Never blocks and never fails: events beyond the limits of the correlator, and those that the server refuses, are
        dropped.
        """
        reference, cluster = _reference(regarding), self._cluster_of(regarding)
        about = tuple(value for name, value in reference.items() if name != "resourceVersion")
        occurrence = Occurrence(f"{self._component}/{self._instance}", cluster, about, type_, reason, message)
        write = self._correlator.decide(occurrence)
        if write is None:
            return
        body = self._body(reference, type_, reason, write)
        if annotations:
            body["metadata"]["annotations"] = dict(annotations)
        try:
            self._waiting.put_nowait((body, cluster, write))
        except asyncio.QueueFull:
            self._correlator.forget(write.key)
            logger.warning("an event is dropped, %d are queued: %s: %s", _WAITING, reason, message)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._write_all(), name=f"events of {self._component}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._closing_seconds):
                await self._waiting.join()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _cluster_of(self, regarding: Object) -> LogicalClusterName:
        annotations = (regarding.get("metadata") or {}).get("annotations") or {}
        return annotations.get(ANNOTATION) or self._client.cluster_of_objects

    def _body(self, reference: dict[str, str], type_: str, reason: str, write: EventWrite) -> Object:
        moment = now_text()
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": _event_name(reference.get("name", "")),
                "namespace": reference.get("namespace") or "default",
            },
            "involvedObject": reference,
            "type": type_,
            "reason": reason,
            "message": write.message[:_MESSAGE],
            "count": write.count,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "source": {"component": self._component, **({"host": self._instance} if self._instance else {})},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }

    async def _write_all(self) -> None:
        while True:
            body, cluster, write = await self._waiting.get()
            try:
                await self._write_with_retries(body, cluster, write)
            except Exception:
                logger.exception("an event is not written")
            finally:
                self._waiting.task_done()

    async def _write_with_retries(self, body: Object, cluster: LogicalClusterName, write: EventWrite) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                await self._write(body, cluster, write)
            except StatusError as error:  # as client-go: the server has decided
                logger.warning("the server refuses an event about %s: %s", body["involvedObject"].get("name"), error)
                self._forget(write.key)
                return
            except ClientError as error:
                logger.debug("an event is written later: %s", error)
                await asyncio.sleep(backoff(attempt))
            else:
                return
        self._forget(write.key)
        logger.warning(
            "an event about %s is dropped: the server was unreachable for too long", body["involvedObject"].get("name")
        )

    async def _write(self, body: Object, cluster: LogicalClusterName, write: EventWrite) -> None:
        written = self._written.get(write.key) if write.count > 1 else None
        if written is not None:
            patch = {name: body[name] for name in ("count", "message", "lastTimestamp")}
            try:
                await self._events(cluster, written.namespace).patch(written.name, patch)
            except NotFoundError:  # it has expired
                self._forget(write.key)
            else:
                self._written.move_to_end(write.key)
                return
        meta = body["metadata"]
        with suppress(AlreadyExistsError):  # an earlier attempt has reached the server, whose response was lost
            await self._events(cluster, meta["namespace"]).create(body)
        self._written[write.key] = _Written(meta["name"], meta["namespace"])
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    def _forget(self, key: Hashable) -> None:
        self._correlator.forget(key)
        self._written.pop(key, None)

    def _events(self, cluster: LogicalClusterName, namespace: str) -> ResourceClient:
        client = self._client
        if cluster not in (UNNAMED, client.cluster):
            client = client.logical_cluster(cluster)
        return client.resource(EVENTS, namespace)


def _event_name(regarding: str) -> str:
    """Return a unique name: that of the object and the time, or a UUID where that is not a DNS subdomain (``system:node``)."""
    name = f"{regarding}.{time.time_ns():x}"
    return str(uuid.uuid4()) if is_dns1123_subdomain(name) else name


def _reference(regarding: Object) -> dict[str, str]:
    """Return the ObjectReference of an object, as client-go's ``ref.GetReference`` does."""
    meta = regarding.get("metadata") or {}
    fields = {
        "apiVersion": regarding.get("apiVersion"),
        "kind": regarding.get("kind"),
        "namespace": meta.get("namespace"),
        "name": meta.get("name"),
        "uid": meta.get("uid"),
        "resourceVersion": meta.get("resourceVersion"),
    }
    return {name: str(value) for name, value in fields.items() if value}
