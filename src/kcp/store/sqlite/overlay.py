"""The overlay: the newest state of each key with pending writes, which are accepted and not durable yet."""

from __future__ import annotations

from typing import NamedTuple

from kcp.store.contract import Event, Key, Record


class PendingWrite(NamedTuple):
    """A key's pending state, its position in the log, and the durable state that readers see until then."""

    latest: Record | None
    position: int
    durable: Record | None


class Overlay:
    """Pending states on top of the database. Its size is bounded by the writes in flight."""

    __slots__ = ("_resources", "keys")

    def __init__(self) -> None:
        self.keys: dict[Key, PendingWrite] = {}
        self._resources: dict[str, int] = {}

    def touches(self, resource: str) -> bool:
        """Whether a key of the resource has a pending write."""
        return resource in self._resources

    def accept(self, key: Key, latest: Record | None, position: int, before: Record | None) -> None:
        """Add a write that has got its position; ``before`` is the state that it replaces."""
        known = self.keys.get(key)
        if known is None:
            resource = key[0]
            self._resources[resource] = self._resources.get(resource, 0) + 1
            self.keys[key] = PendingWrite(latest, position, before)
        else:
            self.keys[key] = PendingWrite(latest, position, known.durable)

    def commit(self, event: Event, position: int) -> bool:
        """Record that a write is durable. Returns whether it is the key's newest."""
        key = event.key
        known = self.keys.get(key)
        if known is None:
            return False
        if known.position != position:
            self.keys[key] = PendingWrite(known.latest, known.position, event.record)
            return False
        del self.keys[key]
        resource, resources = key[0], self._resources
        if resources[resource] == 1:
            del resources[resource]
        else:
            resources[resource] -= 1
        return True

    def clear(self) -> None:
        """Drop all pending writes: they have failed."""
        self.keys.clear()
        self._resources.clear()
