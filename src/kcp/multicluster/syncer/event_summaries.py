"""Warnings about what controllers made for a copy, such as Pods: one event for each source, kind and reason sums them up. Pure.

A Deployment of a thousand Pods that find no node has one event upstream, which counts all of them and has the newest message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from kcp.client.objects import Object
from kcp.multicluster.syncer.events import Subject
from kcp.multicluster.syncer.ownership import metadata_of

Event = Mapping[str, Any]
_KNOWN: Final = 5000
"""Events that are counted; further ones are not until there is room."""
_MESSAGE: Final = 1024
"""Maximum number of characters of a message, as in Kubernetes."""
_SECONDS: Final = len("2026-01-01T00:00:00")
_OF_ONE: Final = ("eventTime", "series", "action", "related")
"""Fields of a single event."""


class SummaryKey(NamedTuple):
    """What is summed up: events about objects of a kind that belong to a source, with a reason."""

    subject: Subject
    kind: str
    reason: str

    @property
    def uid(self) -> str:
        """What stands for a UID in the name of the event upstream."""
        return hashlib.sha256(f"{self.subject.uid}/{self.kind}/{self.reason}".encode()).hexdigest()[:32]


class _Counted(NamedTuple):
    times: int
    first: str
    last: str


@dataclass
class _Summary:
    counted: dict[str, _Counted] = field(default_factory=dict)
    """By the UID of the event."""
    newest: Event = field(default_factory=dict)
    last: str = ""
    written: float | None = None


class Summaries:
    """The events that a cluster has, by what they are summed up in."""

    def __init__(self) -> None:
        self._summaries: dict[SummaryKey, _Summary] = {}
        self._keys: dict[str, SummaryKey] = {}

    def add(self, event: Event, subject: Subject) -> SummaryKey | None:
        """Count an event, or a newer version of it. Returns what has changed; None if there are too many."""
        uid = str(metadata_of(event).get("uid"))
        key = SummaryKey(subject, str((event.get("involvedObject") or {}).get("kind")), str(event.get("reason")))
        if uid not in self._keys and len(self._keys) >= _KNOWN:
            return None
        self._keys[uid] = key
        summary = self._summaries.setdefault(key, _Summary())
        counted = summary.counted[uid] = _counted(event)
        if counted.last >= summary.last:
            summary.newest, summary.last = event, counted.last
        return key

    def remove(self, uid: str) -> None:
        """Forget an event that has expired."""
        key = self._keys.pop(uid, None)
        if key is None:
            return
        counted = self._summaries[key].counted
        del counted[uid]
        if not counted:
            del self._summaries[key]

    @property
    def uids(self) -> set[str]:
        """The UIDs of the events that are counted."""
        return set(self._keys)

    def written(self, key: SummaryKey) -> float | None:
        """Return when the event of a key was written; None if it was not."""
        summary = self._summaries.get(key)
        return None if summary is None else summary.written

    def set_written(self, key: SummaryKey, time: float) -> None:
        """Remember when the event of a key was written."""
        if summary := self._summaries.get(key):
            summary.written = time

    def event(self, key: SummaryKey) -> Object | None:
        """Return the event that sums up; None if all have expired."""
        summary = self._summaries.get(key)
        if summary is None:
            return None
        newest, counted = summary.newest, summary.counted.values()
        name = (newest.get("involvedObject") or {}).get("name")
        return {
            **{field: value for field, value in newest.items() if field not in _OF_ONE},
            "metadata": {"uid": key.uid, "resourceVersion": metadata_of(newest).get("resourceVersion")},
            "involvedObject": {},
            "message": f"{key.kind} {name}: {newest.get('message')}"[:_MESSAGE],
            "count": sum(each.times for each in counted),
            "firstTimestamp": min(each.first for each in counted),
            "lastTimestamp": summary.last,
        }


def _counted(event: Event) -> _Counted:
    """Return how often an event has occurred, and when: its core fields, or those of events.k8s.io."""
    series, created = event.get("series") or {}, metadata_of(event).get("creationTimestamp")
    first = event.get("firstTimestamp") or event.get("eventTime") or created
    last = event.get("lastTimestamp") or series.get("lastObservedTime") or event.get("eventTime") or created
    return _Counted(int(event.get("count") or series.get("count") or 1), _in_seconds(first), _in_seconds(last))


def _in_seconds(time: Any) -> str:
    """Return a time without its fraction."""
    return f"{str(time)[:_SECONDS]}Z"
