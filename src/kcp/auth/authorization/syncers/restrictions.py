"""What a syncer may change in an object: its status, and in the metadata what says that there is a copy.

Follows Kubernetes' admission plugin NodeRestriction. It is part of the authorization: other users' writes do not pay for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from kcp.api import errors
from kcp.api.placement import CLUSTER_LABEL, GROUP, SYNC_ERROR_ANNOTATION, finalizer, held_label
from kcp.auth.authorization.syncers.assignments import Assignments, assigned_to, held_by
from kcp.registry.restrictions import RestrictedWrite

Object = Mapping[str, Any]

_DECIDED: Final = f"cluster.{GROUP}/"
"""The prefix of the annotations that say what the cluster has decided. Others of the group are for users: they place objects."""
_OF_SYNCERS: Final = frozenset({"lastHeartbeatTime", "syncedResources", "conditions"})
"""The fields of the status of a Cluster that its syncer writes; of the conditions, it is `_CONDITION`."""
_CONDITION: Final = "Synced"
_OF_THE_SERVER: Final = frozenset({"managedFields", "resourceVersion", "generation", "deletionTimestamp"})
_EVENT_REFERENCES: Final = ("involvedObject", "regarding")
"""The field of the object that an Event is about, in the two groups that serve Events."""


class AssignedObjectWrites:
    """The writes of the syncers of some Clusters to an object that they may read."""

    def __init__(self, clusters: Collection[str]) -> None:
        self._clusters = frozenset(clusters)

    async def check(self, write: RestrictedWrite) -> None:
        """Raise StatusError 403 where a write changes something else than a syncer may. A delete is one."""
        old, new = write.old, write.new
        if old is None or new is None:
            raise _refusal(write, "it may neither create nor delete objects")
        if write.subresource == "status" and not assigned_to(old, self._clusters):
            raise _refusal(write, "the object is not assigned to its Cluster")
        for name in sorted(old.keys() | new.keys()):
            if name == "metadata" or (name == "status" and write.subresource == "status"):
                continue
            if old.get(name) != new.get(name):
                raise _refusal(write, f"it may not change {name}")
        self._check_metadata(write, old["metadata"], new["metadata"], holds=assigned_to(old, self._clusters))

    def _check_metadata(self, write: RestrictedWrite, old: Object, new: Object, *, holds: bool) -> None:
        """Check the changes of the metadata. ``holds``: whether the syncer may add its finalizer."""
        finalizers = {finalizer(cluster) for cluster in self._clusters}
        labels = {held_label(cluster) for cluster in self._clusters}
        for name in sorted((old.keys() | new.keys()) - _OF_THE_SERVER):
            before, after = old.get(name), new.get(name)
            if before == after:
                continue
            if name == "finalizers":
                kept = [[each for each in listed or () if each not in finalizers] for listed in (before, after)]
                if kept[0] == kept[1] and (holds or len(after or ()) <= len(before or ())):
                    continue
            elif (name == "labels" and _changed(before, after) <= labels) or (
                name == "annotations"
                and all(key == SYNC_ERROR_ANNOTATION or key.startswith(_DECIDED) for key in _changed(before, after))
            ):
                continue
            raise _refusal(write, f"it may not change metadata.{name} like this")


class ClusterStatusWrites:
    """The writes of a syncer to the status of its Cluster. Whether it is ready, and what it can hold, is not for it to say."""

    async def check(self, write: RestrictedWrite) -> None:
        """Raise StatusError 403 where a write changes something else than a syncer may."""
        old, new = ({} if each is None else each.get("status") or {} for each in (write.old, write.new))
        if others := sorted(_changed(old, new) - _OF_SYNCERS):
            raise _refusal(write, f"it may not change status.{others[0]} of its Cluster")
        conditions = [{each["type"]: each for each in status.get("conditions") or ()} for status in (old, new)]
        if others := sorted(_changed(*conditions) - {_CONDITION}):
            raise _refusal(write, f"it may not change the condition {others[0]} of its Cluster")


class EventWrites:
    """The writes of Events about objects that the syncers of some Clusters may read."""

    def __init__(self, clusters: Collection[str], assignments: Assignments) -> None:
        self._clusters = frozenset(clusters)
        self._assignments = assignments

    async def check(self, write: RestrictedWrite) -> None:
        """Raise StatusError 403 for an Event that is, or was, about another object, and for a delete."""
        old, new = write.old, write.new
        if new is None:
            raise _refusal(write, "it may not delete Events")
        self._check_metadata(write, {} if old is None else old["metadata"], new["metadata"])
        for event in (new,) if old is None else (old, new):
            reference = next((event[field] for field in _EVENT_REFERENCES if isinstance(event.get(field), dict)), None)
            if reference is None or reference.get("namespace") != write.namespace:
                raise _refusal(write, "the Event is not about an object of its namespace")
            about = await self._assignments.regarded(write.cluster, reference, write.namespace)
            if about is None or not (assigned_to(about, self._clusters) or held_by(about, self._clusters)):
                raise _refusal(write, "the Event is about an object that is not assigned to its Cluster")

    def _check_metadata(self, write: RestrictedWrite, old: Object, new: Object) -> None:
        """Check what lets others hold, delete or select an Event: its namespace could not end for a finalizer."""
        for name in ("finalizers", "ownerReferences"):
            if old.get(name) != new.get(name):
                raise _refusal(write, f"it may not change metadata.{name} of Events")
        labels = new.get("labels") or {}
        for key in _changed(old.get("labels"), labels):
            if key != CLUSTER_LABEL or labels.get(key) not in self._clusters:
                raise _refusal(write, f"it may give Events only the label {CLUSTER_LABEL} with the name of its Cluster")


def _changed(before: Object | None, after: Object | None) -> set[str]:
    """Return the keys whose values differ."""
    before, after = before or {}, after or {}
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def _refusal(write: RestrictedWrite, why: str) -> errors.StatusError:
    message = f"the user is a syncer, which may write statuses, its finalizer and annotations, and Events: {why}"
    return errors.forbidden(write.resource, write.name, message)
