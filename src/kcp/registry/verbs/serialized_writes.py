"""Serialized writes: writes whose result depends on the other objects of the type run one at a time in each logical cluster.

Within a process they hold a lock. Between processes that share a log, each also changes the fencing key of its logical
cluster (`kcp.registry.fencing`), so that one of two concurrent writes fails and retries.
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
    """A lock for each logical cluster and resource; it exists while a write holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, GroupResource], asyncio.Lock] = WeakValueDictionary()

    def of(self, cluster: LogicalClusterName, resource: GroupResource) -> asyncio.Lock:
        """The lock of a resource in a logical cluster."""
        return self._locks.setdefault((cluster, resource), asyncio.Lock())


def fencing_change(store: Store, type_: ResourceType, cluster: LogicalClusterName) -> Change:
    """The change that makes concurrent writes of this type conflict."""
    key, expected = fence(store, type_.storage, cluster)
    return Change(key, b"", expected)


def fencing_change_of_delete(store: Store, change: Change, type_: ResourceType, cluster: LogicalClusterName) -> Change:
    """The fencing change of a write that removes an object: the last one of a logical cluster removes the fencing key too."""
    return change if store.count(Range(type_.storage, cluster)) > 1 else change._replace(value=None)
