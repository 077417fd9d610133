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
            self._resources[key.resource] = self._resources.get(key.resource, 0) + 1
        self.keys[key] = PendingWrite(latest, position, before if known is None else known.durable)

    def commit(self, event: Event, position: int) -> bool:
        """Record that a write is durable. Returns whether it is the key's newest."""
        known = self.keys.get(event.key)
        if known is None:
            return False
        if known.position != position:
            self.keys[event.key] = PendingWrite(known.latest, known.position, event.record)
            return False
        del self.keys[event.key]
        resource = event.key.resource
        self._resources[resource] -= 1
        if not self._resources[resource]:
            del self._resources[resource]
        return True

    def clear(self) -> None:
        """Drop all pending writes: they have failed."""
        self.keys.clear()
        self._resources.clear()
