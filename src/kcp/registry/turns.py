"""Writes that take turns: those that are judged by what else is there, and must not be judged side by side.

The log checks one object at a time. Whether a CustomResourceDefinition gets its names depends on all others of its logical
cluster, so between that judgement and the durable write no other may come. In one process they queue; between processes that
share a log, each such write also changes a key of the logical cluster that it has read before it judged, so that of two that
overlap the later one fails and is judged again.
"""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

from kcp.api.kinds import GroupResource
from kcp.registry.resource_types import ResourceType
from kcp.store.contract import ABSENT, Change, Condition, Key, Range, Store

TURNS: Final = "turns.kcp.io"
"""Where the keys lie that such writes change; there is no object and no value in them."""


class Turns:
    """A lock for each logical cluster and resource, there for as long as somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, GroupResource], asyncio.Lock] = WeakValueDictionary()

    def of(self, cluster: str, resource: GroupResource) -> asyncio.Lock:
        """The lock of a resource in a logical cluster."""
        return self._locks.setdefault((cluster, resource), asyncio.Lock())


def turn(store: Store, type_: ResourceType, cluster: str) -> list[Change]:
    """What a write must contain that is judged by what is read from now on; empty for a type whose objects are not."""
    if not type_.strategy.judged_beside_others:
        return []
    key, expected = between_turns(store, type_.storage, cluster)
    return [Change(key, b"", expected)]


def between_turns(store: Store, storage: str, cluster: str) -> Condition:
    """What a write must contain that is judged by which objects of such a type there are now, and is none of them."""
    key = Key(TURNS, cluster, "", storage)
    taken = store.get(key)
    return Condition(key, taken.revision if taken is not None else ABSENT)


def last_turn(store: Store, changes: list[Change], type_: ResourceType, cluster: str) -> list[Change]:
    """The same for the removal of an object: nothing is kept for a logical cluster without any."""
    if store.count(Range(type_.storage, cluster)) > 1:
        return changes
    return [change._replace(value=None) for change in changes]
