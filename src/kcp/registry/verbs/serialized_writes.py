"""Serialized writes: those that are judged by the other objects of their type, one after another in each logical cluster.

In one process they wait for a lock; between processes that share a log, each also changes the fencing key of its logical
cluster (`kcp.registry.fencing`).
"""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from kcp.api.kinds import GroupResource
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.fencing import fence
from kcp.registry.types.resource_types import ResourceType
from kcp.store.contract import Change, Range, Store


class WriteLocks:
    """A lock for each logical cluster and resource, kept for as long as a write holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, GroupResource], asyncio.Lock] = WeakValueDictionary()

    def of(self, cluster: LogicalClusterName, resource: GroupResource) -> asyncio.Lock:
        """The lock of a resource in a logical cluster."""
        return self._locks.setdefault((cluster, resource), asyncio.Lock())


def fencing_changes(store: Store, type_: ResourceType, cluster: LogicalClusterName) -> list[Change]:
    """The change that makes concurrent writes of this type conflict; none for a type whose writes are not serialized."""
    if not type_.strategy.writes_are_serialized:
        return []
    key, expected = fence(store, type_.storage, cluster)
    return [Change(key, b"", expected)]


def fencing_changes_of_delete(
    store: Store, changes: list[Change], type_: ResourceType, cluster: LogicalClusterName
) -> list[Change]:
    """The same for a delete: the last object of a logical cluster takes the fencing key with it."""
    if store.count(Range(type_.storage, cluster)) > 1:
        return changes
    return [change._replace(value=None) for change in changes]
