"""The garbage collector: objects whose owners are gone, foreground deletion, orphaning.

Follows kube-controller-manager's garbage collector and the concepts page "Garbage Collection". Owners are looked up in
the dependent's own logical cluster (and namespace, for owners that live in one); a reference never reaches another
logical cluster.

Owner references may form circles. An object in foreground deletion waits for the dependents that block it, so in a circle all
would wait for one another. As in Kubernetes, an object that is to be deleted and has a dependent in foreground deletion gives up
blocking its owners first. A circle in which every object is in foreground deletion already is found by `_leads_back`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from kcp.api import documents, errors
from kcp.controllers.dependents import Dependents
from kcp.controllers.following import present
from kcp.controllers.misplaced_owners import MisplacedOwners
from kcp.controllers.system import system_context
from kcp.controllers.work_queues import WorkQueue
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.requests import DeleteOptions, Target
from kcp.registry.types.catalog import DEFINITIONS
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.deleting import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from kcp.registry.verbs.registry import Registry
from kcp.registry.verbs.writing import Object
from kcp.store.contract import Event, Key, Range, Record

T = TypeVar("T")

_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_HAS_OWNERS: Final = b'"ownerReferences"'
_IS_GOING: Final = b'"deletionTimestamp"'
_SLICE: Final = 100
"""Objects looked at before other work gets the event loop."""
_LONGEST_SEARCH: Final = 1000
"""Objects in foreground deletion that are followed in search of a circle; a longer way is taken for one."""


class _Owner(NamedTuple):
    """An owner as its dependents name it."""

    cluster: LogicalClusterName
    uid: str


class _Owners(NamedTuple):
    """The owner references of an object, by what has become of the owner."""

    there: list[dict[str, Any]]
    gone: list[dict[str, Any]]
    waiting: list[dict[str, Any]]


class GarbageCollector:
    """Deletes what nobody owns any more, in all logical clusters."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._dependents = Dependents()
        self._misplaced = MisplacedOwners(registry)
        self._queue: WorkQueue[Key] = WorkQueue("garbage", self._reconcile, workers=16)
        self._removed: WorkQueue[_Owner] = WorkQueue("removed owners", self._queue_dependents, workers=1)
        self._announced: set[_Owner] = set()
        """Owners in foreground deletion whose dependents have been queued."""
        self._undo = registry.store.follow(None, self._on_change)

    async def start(self) -> None:
        """Learn who owns whom from what is there."""
        self._queue.start()
        self._removed.start()
        storages = {type_.storage for type_ in self._registry.catalog.base.types if type_.stored}
        async for records in present(self._registry.store, Range(DEFINITIONS)):
            for record in records:
                spec = documents.decode(record.value)["spec"]
                group, plural = spec.get("group", ""), spec["names"]["plural"]
                storages.add(f"{plural}.{group}" if group else plural)
        for storage in sorted(storages):
            async for records in present(self._registry.store, Range(storage)):
                for record in records:
                    self._consider(record)

    async def stop(self) -> None:
        """Stop; the next start learns anew."""
        self._undo()
        await self._removed.stop()
        await self._queue.stop()

    def _on_change(self, events: Sequence[Event]) -> None:
        for event in events:
            previous = event.previous
            if previous is not None and _HAS_OWNERS in previous.value:
                self._dependents.remove(event.key, _owner_uids(previous))
                self._poke_owners(event.key.cluster, previous)
            if event.record is not None:
                self._consider(event.record)
            elif previous is not None and self._dependents.knows(event.key.cluster):
                uid = documents.decode(previous.value)["metadata"].get("uid", "")
                owner = _Owner(event.key.cluster, uid)
                self._announced.discard(owner)
                if self._dependents.of(*owner):
                    self._removed.add(owner)

    async def _queue_dependents(self, owner: _Owner) -> None:
        async for key in _in_slices(self._dependents.of(*owner)):
            self._queue.add(key)

    def _consider(self, record: Record) -> None:
        if _HAS_OWNERS in record.value and (owners := _owner_uids(record)):
            self._dependents.add(record.key, owners)
            self._queue.add(record.key)
        elif _IS_GOING in record.value:
            self._queue.add(record.key)

    def _poke_owners(self, cluster: LogicalClusterName, dependent: Record) -> None:
        """A dependent changed or went: an owner that waits for it in the foreground may go on."""
        for reference in _references(documents.decode(dependent.value)):
            owner = self._owner(cluster, dependent.key.namespace, reference)
            if owner is not None and _IS_GOING in owner.value:
                self._queue.add(owner.key)

    def _type_of(self, key: Key) -> ResourceType | None:
        for type_ in self._registry.catalog.surface(key.cluster).types:
            if type_.storage == key.resource:
                return type_.convertible_form
        return None

    def _owner(self, cluster: LogicalClusterName, namespace: str, reference: dict[str, Any]) -> Record | None:
        found = self._find_owner(cluster, namespace, reference)
        return found if isinstance(found, Record) else None

    def _find_owner(self, cluster: LogicalClusterName, namespace: str, reference: dict[str, Any]) -> Record | bool:
        """The owner's record; False when it is gone; True when it cannot be told (its kind is not served here)."""
        type_ = self._registry.catalog.surface(cluster).of_reference(reference)
        if type_ is None or (type_.namespaced and not namespace):
            return True
        where = namespace if type_.namespaced else ""
        record = self._registry.source.latest(type_, cluster, where, reference.get("name", ""))
        if record is None or documents.decode(record.value)["metadata"].get("uid") != reference.get("uid"):
            return False
        return record

    async def _reconcile(self, key: Key) -> None:
        type_ = self._type_of(key)
        if type_ is None:
            return
        record = self._registry.source.latest(type_, key.cluster, key.namespace, key.name)
        if record is None:
            return
        obj = documents.decode(record.value)
        try:
            if obj["metadata"].get("deletionTimestamp"):
                await self._go_on_deleting(key, type_, obj)
            else:
                await self._delete_if_unowned(key, type_, obj)
        except errors.StatusError as error:
            if error.code not in (_NOT_FOUND, _CONFLICT):
                raise
            if error.code == _CONFLICT:
                self._queue.add_later(key, 0.05)

    async def _delete_if_unowned(self, key: Key, type_: ResourceType, obj: Object) -> None:
        owners = await self._sorted_owners(key, obj)
        await self._misplaced.report(key, type_, obj, owners.gone if key.namespace else _references(obj))
        if owners.there or not (owners.gone or owners.waiting):
            if lost := owners.gone + owners.waiting:
                await self._drop_references(key, type_, {reference["uid"] for reference in lost})
            return
        meta = obj["metadata"]
        finalizers = meta.get("finalizers") or ()
        dependents = self._dependents.of(key.cluster, meta.get("uid", ""))
        policy = "Background"
        if owners.waiting and dependents:
            policy = "Foreground"
            if await self._any_waits(dependents):
                await self._stop_blocking(key, type_)
        elif ORPHAN_FINALIZER in finalizers:
            policy = "Orphan"
        elif FOREGROUND_FINALIZER in finalizers:
            policy = "Foreground"
        options = DeleteOptions(propagation_policy=policy, uid=meta.get("uid"))
        await self._registry.delete(system_context(key.cluster), Target(type_, key.namespace, key.name), options)

    async def _sorted_owners(self, key: Key, obj: Object) -> _Owners:
        sorted_ = _Owners([], [], [])
        async for reference in _in_slices(_references(obj)):
            found = self._find_owner(key.cluster, key.namespace, reference)
            if found is False:
                sorted_.gone.append(reference)
            elif isinstance(found, Record) and _waits_for_dependents(found):
                sorted_.waiting.append(reference)
            else:
                sorted_.there.append(reference)
        return sorted_

    async def _go_on_deleting(self, key: Key, type_: ResourceType, obj: Object) -> None:
        meta = obj["metadata"]
        finalizers = meta.get("finalizers") or ()
        dependents = self._dependents.of(key.cluster, meta.get("uid", ""))
        if ORPHAN_FINALIZER in finalizers:
            async for dependent in _in_slices(dependents):
                if dependent_type := self._type_of(dependent):
                    await self._drop_references(dependent, dependent_type, {meta["uid"]})
            await self._remove_finalizer(key, type_, ORPHAN_FINALIZER)
        elif FOREGROUND_FINALIZER in finalizers:
            owner = _Owner(key.cluster, meta["uid"])
            if owner not in self._announced:
                self._announced.add(owner)
                await self._queue_dependents(owner)
            async for dependent in _in_slices(dependents):
                if self._blocks(dependent, meta["uid"]) and not await self._leads_back(dependent, key):
                    return
            self._announced.discard(owner)
            await self._remove_finalizer(key, type_, FOREGROUND_FINALIZER)

    def _blocks(self, key: Key, owner_uid: str) -> bool:
        """A dependent holds its owner in foreground deletion."""
        record = self._registry.store.latest(key)
        if record is None:
            return False
        references = _references(documents.decode(record.value))
        return any(entry.get("uid") == owner_uid and entry.get("blockOwnerDeletion") for entry in references)

    async def _any_waits(self, keys: Iterable[Key]) -> bool:
        """One of these objects is in foreground deletion."""
        async for key in _in_slices(keys):
            record = self._registry.store.latest(key)
            if record is not None and _waits_for_dependents(record):
                return True
        return False

    async def _leads_back(self, start: Key, goal: Key) -> bool:
        """What blocks ``start``, and what blocks that in turn, is in foreground deletion all the way to ``goal``: a circle."""
        found, waiting = {start}, [start]
        while waiting:
            key = waiting.pop()
            if key == goal or len(found) > _LONGEST_SEARCH:
                return True
            record = self._registry.store.latest(key)
            if record is None or not _waits_for_dependents(record):
                continue
            uid = documents.decode(record.value)["metadata"]["uid"]
            async for dependent in _in_slices(self._dependents.of(key.cluster, uid)):
                if dependent not in found and self._blocks(dependent, uid):
                    found.add(dependent)
                    waiting.append(dependent)
            await asyncio.sleep(0)
        return False

    async def _stop_blocking(self, key: Key, type_: ResourceType) -> None:
        """Take ``blockOwnerDeletion`` off an object's owner references."""

        def change(old: Object) -> Object:
            references = [dict(entry, blockOwnerDeletion=False) for entry in _references(old)]
            return dict(old, metadata=dict(old["metadata"], ownerReferences=references))

        await self._change(key, type_, change)

    async def _drop_references(self, key: Key, type_: ResourceType, uids: set[str]) -> None:
        def change(old: Object) -> Object:
            meta = dict(old["metadata"])
            kept = [entry for entry in meta.get("ownerReferences") or () if entry.get("uid") not in uids]
            if kept:
                meta["ownerReferences"] = kept
            else:
                meta.pop("ownerReferences", None)
            return dict(old, metadata=meta)

        await self._change(key, type_, change)

    async def _remove_finalizer(self, key: Key, type_: ResourceType, finalizer: str) -> None:
        def change(old: Object) -> Object:
            meta = dict(old["metadata"])
            meta["finalizers"] = [name for name in meta.get("finalizers") or () if name != finalizer]
            return dict(old, metadata=meta)

        await self._change(key, type_, change)

    async def _change(self, key: Key, type_: ResourceType, change: Any) -> None:
        target = Target(type_, key.namespace, key.name)
        await self._registry.change(system_context(key.cluster), target, change)


async def _in_slices(keys: Iterable[T]) -> AsyncIterator[T]:
    """The keys (or references); other work goes on between slices of them."""
    for number, key in enumerate(keys, 1):
        yield key
        if number % _SLICE == 0:
            await asyncio.sleep(0)


def _references(obj: Object) -> list[dict[str, Any]]:
    return obj["metadata"].get("ownerReferences") or []


def _owner_uids(record: Record) -> list[str]:
    return [reference["uid"] for reference in _references(orjson.loads(record.value))]


def _waits_for_dependents(owner: Record) -> bool:
    if _IS_GOING not in owner.value:
        return False
    meta = documents.decode(owner.value)["metadata"]
    return bool(meta.get("deletionTimestamp")) and FOREGROUND_FINALIZER in (meta.get("finalizers") or ())
