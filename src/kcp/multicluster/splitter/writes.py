"""The writes for a root: its leaves, its status, and the Events that say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from kcp.client import Client, EventRecorder, NotFoundError
from kcp.multicluster.placement import CLUSTER_LABEL, PLACED_ANNOTATION, cluster_of
from kcp.multicluster.splitter.caches import Caches, RootKey
from kcp.multicluster.splitter.events import RootEvent, condition_events, leaf_events, placement_event
from kcp.multicluster.splitter.kinds import SplitKind
from kcp.multicluster.splitter.roots import Plan
from kcp.multicluster.workloads import merge_patch

Object = dict[str, Any]

FIELD_MANAGER: Final = "deployment-splitter"


class RootWrites:
    """The writes of one reconciliation of a root. Each is conditional on what was read, and raises StatusError, ClientError."""

    def __init__(self, client: Client, caches: Caches, events: EventRecorder, key: RootKey, root: Object) -> None:
        """``client`` may use any logical cluster; ``root`` is the root as the cache has it."""
        self._verbs = client.logical_cluster(key.key.cluster).resource(key.resource, key.key.namespace)
        self._caches = caches
        self._events = events
        self._key = key
        self._root = root

    async def leaves(self, kind: SplitKind, present: Sequence[Object], planned: Plan) -> list[Object]:
        """Write what is planned. Returns the leaves as they are then."""
        found = {each["metadata"]["name"]: each for each in present}
        for changed, write in ((planned.creates, self._verbs.create), (planned.updates, self._verbs.replace)):
            for each in changed:
                stored = await write(each, field_manager=FIELD_MANAGER)
                meta = stored["metadata"]
                self._note(meta["name"], meta["resourceVersion"])
                self._record(leaf_events(kind, found.get(meta["name"]), stored))
                found[meta["name"]] = stored
        for each in planned.deletes:
            meta = each["metadata"]
            found.pop(meta["name"], None)
            try:
                await self._verbs.delete(meta["name"], uid=meta["uid"], propagation_policy="Background")
            except NotFoundError:
                continue
            self._note(meta["name"], "")
            self._record(leaf_events(kind, each, None))
        return list(found.values())

    async def status(self, status: Object) -> None:
        """Write the status of the root if it differs."""
        before = self._root.get("status") or {}
        if patch := merge_patch(before, status):
            meta = self._root["metadata"]
            body = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": patch}
            await self._verbs.patch(meta["name"], body, subresource="status", field_manager=FIELD_MANAGER)
            self._record(condition_events(before, status))

    async def placement(self, cluster: str) -> None:
        """Assign a root that is placed whole to a cluster, unless it is assigned to it."""
        before, meta = cluster_of(self._root), self._root["metadata"]
        if cluster == before:
            return
        marks = {"labels": {CLUSTER_LABEL: cluster}, "annotations": {PLACED_ANNOTATION: cluster}}
        body = {"metadata": {"resourceVersion": meta["resourceVersion"], **marks}}
        await self._verbs.patch(meta["name"], body, field_manager=FIELD_MANAGER)
        self._record([placement_event(before, cluster)])

    def warn(self, reason: str, message: str) -> None:
        """Record a warning about a root that has no condition for it."""
        self._record([RootEvent(True, reason, message)])

    def _note(self, name: str, version: str) -> None:
        self._caches.note(self._key, self._key.key._replace(name=name), version)

    def _record(self, events: Iterable[RootEvent]) -> None:
        resource = self._key.resource
        regarding = {**self._root, "apiVersion": resource.api_version, "kind": resource.kind}
        for each in events:
            self._events.event(regarding, "Warning" if each.warning else "Normal", each.reason, each.message)
