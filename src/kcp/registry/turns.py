"""Writes that take turns: those that are judged by what else is there, and must not be judged side by side.

The log checks one object at a time. Whether a CustomResourceDefinition gets its names depends on all others of its logical
cluster, so between that judgement and the durable write no other may come.
"""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from kcp.api.kinds import GroupResource


class Turns:
    """A lock for each logical cluster and resource, there for as long as somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, GroupResource], asyncio.Lock] = WeakValueDictionary()

    def of(self, cluster: str, resource: GroupResource) -> asyncio.Lock:
        """The lock of a resource in a logical cluster."""
        return self._locks.setdefault((cluster, resource), asyncio.Lock())
