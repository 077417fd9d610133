"""Events of copies, written upstream about their sources.

An event upstream has a name made from the UID of the one downstream, so it is written once whoever writes it; its annotation says
which version of it was written. The list of those upstream is all that is remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from kcp.client import CachedObject, Client, NotFoundError
from kcp.client.events.correlation import BURST, RATE
from kcp.client.events.recorder import EVENTS
from kcp.client.objects import Object
from kcp.client.transport.rate_limits import TokenBucket
from kcp.client.versions import is_older
from kcp.multicluster.placement import CLUSTER_LABEL, GROUP, shorten
from kcp.multicluster.syncer.ownership import annotations_of, metadata_of

VERSION_ANNOTATION: Final = f"{GROUP}/event-version"
"""The annotation of such an event: the version of the event downstream."""
_COPIED: Final = (
    *("type", "reason", "message", "count", "firstTimestamp", "lastTimestamp", "eventTime"),
    *("source", "reportingComponent", "reportingInstance", "series", "action"),
)
_NAME: Final = 253
_BURST: Final = 8 * BURST
_RATE: Final = 8 * RATE
"""Events about an object at once, and a second: those of some components. A cluster is not trusted not to flood kcp."""
_REMEMBERED: Final = 4096


class Subject(NamedTuple):
    """The source of a copy that an event is about: its reference upstream."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


def event_upstream(event: Mapping[str, Any], subject: Subject, cluster: str) -> Object:
    """Return the event upstream for one downstream."""
    meta = metadata_of(event)
    about = event["involvedObject"]
    reference = {
        "apiVersion": subject.api_version,
        "kind": subject.kind,
        "namespace": subject.namespace,
        "name": subject.name,
        "uid": subject.uid,
    }
    if about.get("fieldPath"):
        reference["fieldPath"] = about["fieldPath"]
    return {
        **{name: event[name] for name in _COPIED if event.get(name) not in (None, "")},
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": event_name(subject.name, str(meta.get("uid"))),
            "namespace": subject.namespace,
            "labels": {CLUSTER_LABEL: cluster},
            "annotations": {VERSION_ANNOTATION: str(meta.get("resourceVersion"))},
        },
        "involvedObject": reference,
    }


def event_name(subject: str, uid: str) -> str:
    """Return the name of an event upstream, from the UID of the one downstream."""
    return f"{shorten(subject, _NAME - len(uid) - 1)}.{uid}"


class EventWriter:
    """Writes events upstream."""

    def __init__(self, upstream: Client, cluster: str, written: Callable[[str, str], CachedObject | None]) -> None:
        """``written`` returns the event upstream of a namespace and name, from a cache."""
        self._upstream = upstream
        self._cluster = cluster
        self._written = written
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def _may_write(self, subject: Subject) -> bool:
        """Return whether there may be another event about an object now. Kubernetes' own recorders stay far below the limit."""
        bucket = self._buckets.setdefault(subject.uid, TokenBucket(_RATE, _BURST))
        self._buckets.move_to_end(subject.uid)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        return bucket.try_take()

    async def write(self, event: Mapping[str, Any], subject: Subject) -> None:
        """Write an event, unless this version of it was written, or a later one. Raises StatusError, TransportError."""
        wanted = event_upstream(event, subject, self._cluster)
        meta = wanted["metadata"]
        cached, version = self._written(meta["namespace"], meta["name"]), meta["annotations"][VERSION_ANNOTATION]
        written = "" if cached is None else str(annotations_of(cached.decode()).get(VERSION_ANNOTATION))
        if version == written or is_older(version, written):
            return
        if not self._may_write(subject):
            return
        try:
            await self._upstream.resource(EVENTS, meta["namespace"]).apply(
                wanted, field_manager="kcp-syncer", force=True
            )
        except NotFoundError:
            return  # the namespace is gone, and the source with it
