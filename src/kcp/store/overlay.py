"""What is on its way: the newest state of each key with accepted writes that are not durable yet."""

from __future__ import annotations

from typing import NamedTuple

from kcp.store.contract import Event, Key, Record


class OnItsWay(NamedTuple):
    """A key's newest state, where it will lie in the log, and the durable state that readers see meanwhile."""

    latest: Record | None
    position: int
    durable: Record | None


class Overlay:
    """Pending states over the database. Bounded by the writes that somebody waits for."""

    __slots__ = ("_resources", "keys")

    def __init__(self) -> None:
        self.keys: dict[Key, OnItsWay] = {}
        self._resources: dict[str, int] = {}

    def touches(self, resource: str) -> bool:
        """Whether some key of the resource is on its way."""
        return resource in self._resources

    def accept(self, key: Key, latest: Record | None, position: int, before: Record | None) -> None:
        """A write of this key got its place; ``before`` is what it replaces."""
        known = self.keys.get(key)
        if known is None:
            self._resources[key.resource] = self._resources.get(key.resource, 0) + 1
        self.keys[key] = OnItsWay(latest, position, before if known is None else known.durable)

    def arrive(self, event: Event, position: int) -> bool:
        """A write of this key is durable; returns whether it is the newest."""
        known = self.keys.get(event.key)
        if known is None:
            return False
        if known.position != position:
            self.keys[event.key] = OnItsWay(known.latest, known.position, event.record)
            return False
        del self.keys[event.key]
        resource = event.key.resource
        self._resources[resource] -= 1
        if not self._resources[resource]:
            del self._resources[resource]
        return True

    def clear(self) -> None:
        """Nothing is on its way any more: it failed."""
        self.keys.clear()
        self._resources.clear()
