"""Watches of both sides, by connections of their own that no fault cuts, written into a history."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from kcp.client import APIResource, CachedObject, Change, Client, FollowOptions, Informer
from kcp.multicluster.placement import FINALIZER_PREFIX, HELD_PREFIX, cluster_of, locator_of, mark_of
from tests.multicluster.faults.model import STEP, UP, Act, History, Lost, Place, Seen

CONFIG_MAPS = APIResource("", "v1", "configmaps", "ConfigMap")
DEPLOYMENTS = APIResource("apps", "v1", "deployments", "Deployment")
RESOURCES = (CONFIG_MAPS, DEPLOYMENTS)


class Recorder:
    """Records between `follow` and `stop`."""

    def __init__(self) -> None:
        self.history = History()
        self._informers: dict[str, list[Informer]] = {}

    async def follow(self, side: str, client: Client) -> None:
        """Record a side. Call it when its types are served."""
        for resource in RESOURCES:
            options = FollowOptions(first_delay=0.1, last_delay=0.5)
            informer = Informer(client.resource(resource, ""), client.cluster_of_objects, options=options)
            informer.add_handler(partial(self._record, side, resource))
            informer.start()
            self._informers.setdefault(side, []).append(informer)
        await asyncio.gather(*(informer.synchronized() for informer in self._informers[side]))

    async def lose(self, side: str) -> None:
        """Stop recording a side, whose state is about to be lost."""
        await asyncio.gather(*(informer.stop() for informer in self._informers.pop(side)))
        self.history.events.append(Lost(time.monotonic(), side))

    async def stop(self) -> None:
        """Stop recording."""
        for informers in self._informers.values():
            await asyncio.gather(*(informer.stop() for informer in informers))

    def act(self, uid: str) -> None:
        """Record that a user is about to delete or to release an object."""
        self.history.acts.append(Act(time.monotonic(), uid))

    def _record(self, side: str, resource: APIResource, change: Change) -> None:
        if change.old is not None and (change.new is None or change.new.uid != change.old.uid):
            self._add(seen_of(side, resource, change.old, gone=True))
        if change.new is not None:
            self._add(seen_of(side, resource, change.new))

    def _add(self, seen: Seen | None) -> None:
        if seen is not None:
            self.history.events.append(seen)


def seen_of(side: str, resource: APIResource, cached: CachedObject, *, gone: bool = False) -> Seen | None:
    """Return what is recorded of an object; None for one that no test has written."""
    found: dict[str, Any] = cached.decode()
    meta, status = found["metadata"], found.get("status") or {}
    step = (meta.get("annotations") or {}).get(STEP)
    mark = mark_of(found)
    if step is None and not mark:
        return None
    logical_cluster = str(cached.key.cluster) if side == UP else ""
    finalizers, labels = meta.get("finalizers") or (), meta.get("labels") or {}
    return Seen(
        time.monotonic(),
        Place(side, logical_cluster, resource.plural, cached.key.namespace, cached.key.name),
        cached.uid,
        step or "",
        gone=gone,
        deleting="deletionTimestamp" in meta,
        cluster=cluster_of(found),
        held=any(each.startswith(FINALIZER_PREFIX) for each in finalizers)
        or any(each.startswith(HELD_PREFIX) for each in labels),
        locator=locator_of(found),
        mark=mark,
        replicas=(found.get("spec") or {}).get("replicas") or 0,
        ready=status.get("readyReplicas") or 0,
    )
