"""The garbage collector: deletes objects whose owners are gone, and completes foreground deletion and orphaning.

Follows kube-controller-manager's garbage collector and the concepts page "Garbage Collection". An owner reference never reaches
another logical cluster.

Owners may form circles. An object in foreground deletion waits for the dependents that block it, so the objects of a circle would
wait for one another for ever. As in Kubernetes, one of them then stops blocking: ``blockOwnerDeletion`` is set to false in its
owner references. Kubernetes takes it for a circle if a dependent of an object that it is about to delete is in foreground
deletion. Here a search of the graph finds the circle, also one in which clients have deleted every object.

The dependents of an object come from the graph of owners, which applies the changes of the log in their order. A deletion that
the graph does not show yet is continued when it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from kcp.api import documents, errors
from kcp.controllers.following import Transition, TransitionQueue, present
from kcp.controllers.misplaced_owners import MisplacedOwners
from kcp.controllers.owner_graph import HAS_OWNERS, IS_DELETED, OwnerGraph, OwnerNode, node_of
from kcp.controllers.owners import Owners
from kcp.controllers.system import ignore_not_found, system_context
from kcp.controllers.work_queues import ControllerQueue, RetryError
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.requests import DeleteOptions, Target
from kcp.registry.types.catalog import DEFINITIONS, storages_of
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.deleting import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from kcp.registry.verbs.large_work import run_large
from kcp.registry.verbs.registry import Registry
from kcp.registry.verbs.writing import Object
from kcp.store.contract import Key, Range, Record
from kcp.work_queues.pacing import Pacer

_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_IN_FLIGHT: Final = 100
"""Dependents that are orphaned at once: their writes share commits."""


class _Owner(NamedTuple):
    """An owner as its dependents name it."""

    cluster: LogicalClusterName
    uid: str


class GarbageCollector:
    """Collects the garbage of all logical clusters."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._graph = OwnerGraph()
        self._is_complete = False
        """Whether the graph has the objects that were present at the start."""
        self._owners = Owners(registry)
        self._misplaced = MisplacedOwners(registry, self._owners)
        self._objects: ControllerQueue[Key] = ControllerQueue("garbage", self._reconcile, workers=16)
        self._changed_owners: ControllerQueue[_Owner] = ControllerQueue(
            "changed owners", self._queue_dependents, workers=1
        )
        self._circles: ControllerQueue[Key] = ControllerQueue("owner circles", self._break_circle, workers=1)
        self._transitions = TransitionQueue("owner graph", self._is_relevant, self._apply)
        self._unfollow = registry.store.follow(None, self._transitions.add_events)

    async def start(self) -> None:
        """Build the graph of the objects that are present; then start the workers, which rely on all of it."""
        self._transitions.start()
        store = self._registry.store
        for storage in await self._storages():
            async for records in present(store, Range(storage)):
                self._transitions.add_present(records)
                await self._transitions.applied()
        self._is_complete = True
        for queue in self._queues:
            queue.start()

    async def stop(self) -> None:
        """Stop; the next start builds a new graph."""
        self._unfollow()
        await self._transitions.stop()
        for queue in self._queues:
            await queue.stop()

    @property
    def _queues(self) -> tuple[ControllerQueue[Key], ControllerQueue[_Owner], ControllerQueue[Key]]:
        return self._objects, self._changed_owners, self._circles

    async def _storages(self) -> list[str]:
        storages = {type_.storage for type_ in self._registry.catalog.base.types if type_.stored}
        pacer = Pacer()
        async for records in present(self._registry.store, Range(DEFINITIONS)):
            for record in records:
                await pacer.pause()
                storages |= storages_of(record.key.name)
        return sorted(storages)

    # the graph

    def _is_relevant(self, key: Key, before: Record | None, after: Record | None) -> bool:
        if after is not None and _may_have_node(after):
            return True
        if self._is_complete and self._transitions.is_idle and not self._graph.knows(key.cluster):
            return False  # the graph has all that the record before may have brought
        return (after is None and self._graph.knows(key.cluster)) or (before is not None and _may_have_node(before))

    async def _apply(self, transition: Transition) -> None:
        """Bring the graph up to date with a change, and queue the objects that are affected."""
        key = transition.key
        before, after = await _node(transition.before), await _node(transition.after)
        if before == after:
            return
        await self._graph.replace(key, before, after)
        if before.uid and before.uid != after.uid and self._graph.has_dependents(key.cluster, before.uid):
            self._owners.remember_removed(key.cluster, before.uid)
            self._changed_owners.add(_Owner(key.cluster, before.uid))
        if after.owners or after.finalizer:
            self._objects.add(key)
        if after.finalizer == FOREGROUND_FINALIZER:
            if before.finalizer != FOREGROUND_FINALIZER:
                self._changed_owners.add(_Owner(key.cluster, after.uid))
            if after.blocks:
                self._circles.add(key)
        await self._queue_unblocked_owners(key, before, after)

    async def _queue_unblocked_owners(self, key: Key, before: OwnerNode, after: OwnerNode) -> None:
        pacer = Pacer()
        for uid, blocked in before.blocks.items():
            await pacer.pause()
            if blocked and not after.blocks.get(uid) and (owner := self._graph.waiting(key.cluster, uid)) is not None:
                self._objects.add(owner)

    async def _queue_dependents(self, owner: _Owner) -> None:
        pacer = Pacer()
        for key in self._graph.dependents(owner.cluster, owner.uid):
            await pacer.pause()
            self._objects.add(key)

    # objects

    async def _reconcile(self, key: Key) -> None:
        type_ = await self._owners.type_of(key)
        if type_ is None:
            return
        record = self._registry.source.latest(type_, key.cluster, key.namespace, key.name)
        if record is None:
            return
        obj = await run_large(len(record.value), documents.decode_stored, record.value)
        try:
            if obj["metadata"].get("deletionTimestamp"):
                await self._continue_deletion(key, type_, obj)
            else:
                await self._delete_if_unowned(key, type_, obj)
        except errors.StatusError as error:
            if error.code == _CONFLICT:
                raise RetryError from error
            if error.code != _NOT_FOUND:
                raise

    async def _delete_if_unowned(self, key: Key, type_: ResourceType, obj: Object) -> None:
        meta = obj["metadata"]
        references = meta.get("ownerReferences") or []
        owners = await self._owners.classify(key, references)
        await self._misplaced.report(key, type_, obj, owners.dangling if key.namespace else references)
        lost = [reference["uid"] for reference in (*owners.dangling, *owners.waiting)]
        if not lost:
            return
        if owners.solid:
            await self._drop_references(key, type_, frozenset(lost))
            return
        finalizers = meta.get("finalizers") or ()
        if owners.waiting and self._graph.has_dependents(key.cluster, meta["uid"]):
            policy = "Foreground"
        elif ORPHAN_FINALIZER in finalizers:
            policy = "Orphan"
        else:
            policy = "Foreground" if FOREGROUND_FINALIZER in finalizers else "Background"
        options = DeleteOptions(propagation_policy=policy, uid=meta["uid"])
        await self._registry.delete(system_context(key.cluster), _target(key, type_), options)

    async def _continue_deletion(self, key: Key, type_: ResourceType, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        finalizer = self._graph.waits_for(key, uid)
        if finalizer == ORPHAN_FINALIZER:
            await self._orphan_dependents(_Owner(key.cluster, uid))
        elif not finalizer or self._graph.is_blocked(key.cluster, uid):
            return
        await self._change_metadata(
            key, type_, lambda meta: _without(meta, "finalizers", lambda name: name == finalizer)
        )

    async def _orphan_dependents(self, owner: _Owner) -> None:
        pacer, uids = Pacer(), frozenset((owner.uid,))

        async def orphan(key: Key) -> None:
            await pacer.pause()
            if (type_ := await self._owners.type_of(key)) is not None:
                await ignore_not_found(self._drop_references(key, type_, uids))

        keys = self._graph.dependents(owner.cluster, owner.uid)
        for start in range(0, len(keys), _IN_FLIGHT):
            await asyncio.gather(*map(orphan, keys[start : start + _IN_FLIGHT]))

    # circles

    async def _break_circle(self, key: Key) -> None:
        """Make an object in foreground deletion that waits for itself stop blocking its owners."""
        type_ = await self._owners.type_of(key)
        if type_ is None or not await self._graph.is_in_circle(key):
            return
        await ignore_not_found(self._change_metadata(key, type_, _without_blocking))

    # writes

    async def _drop_references(self, key: Key, type_: ResourceType, uids: frozenset[str]) -> None:
        def change(meta: Object) -> Object:
            return _without(meta, "ownerReferences", lambda reference: reference["uid"] in uids)

        await self._change_metadata(key, type_, change)

    async def _change_metadata(self, key: Key, type_: ResourceType, change: Callable[[Object], Object]) -> None:
        def change_object(old: Object) -> Object:
            return dict(old, metadata=change(old["metadata"]))

        await self._registry.change(system_context(key.cluster), _target(key, type_), change_object)


def _may_have_node(record: Record) -> bool:
    return record.value.find(HAS_OWNERS) >= 0 or record.value.find(IS_DELETED) >= 0


async def _node(record: Record | None) -> OwnerNode:
    return node_of(None) if record is None else await run_large(len(record.value), node_of, record)


def _target(key: Key, type_: ResourceType) -> Target:
    return Target(type_, key.namespace, key.name)


def _without(meta: Object, field: str, is_removed: Callable[..., bool]) -> Object:
    """Metadata without some items of a list; an empty list is left out."""
    kept = [item for item in meta.get(field) or () if not is_removed(item)]
    rest = {name: value for name, value in meta.items() if name != field}
    return {**rest, field: kept} if kept else rest


def _without_blocking(meta: Object) -> Object:
    """Metadata whose owner references do not block."""
    references = [
        dict(reference, blockOwnerDeletion=False) if reference.get("blockOwnerDeletion") else reference
        for reference in meta.get("ownerReferences") or ()
    ]
    return dict(meta, ownerReferences=references)
