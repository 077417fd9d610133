"""Which objects name which: what a cluster needs beside the objects that are assigned to it."""

from __future__ import annotations

from collections.abc import Iterable

from kcp.multicluster.syncer.ownership import Key


class References:
    """References between objects, followed over several steps: a Deployment names a service account, which names a Secret."""

    def __init__(self) -> None:
        self._named: dict[Key, frozenset[Key]] = {}
        self._by: dict[Key, set[Key]] = {}

    def set(self, referrer: Key, named: Iterable[Key]) -> set[Key]:
        """Set what an object names. Returns the objects that are named now and were not, or the other way round."""
        before, after = self._named.get(referrer, frozenset()), frozenset(named)
        for key in before - after:
            referrers = self._by[key]
            referrers.discard(referrer)
            if not referrers:
                del self._by[key]
        for key in after - before:
            self._by.setdefault(key, set()).add(referrer)
        if after:
            self._named[referrer] = after
        else:
            self._named.pop(referrer, None)
        return set(before ^ after)

    def are_to(self, key: Key) -> bool:
        """Return whether an object is named."""
        return key in self._by

    def referrers(self, key: Key) -> frozenset[Key]:
        """Return the objects that name an object."""
        return frozenset(self._by.get(key, ()))

    def __len__(self) -> int:
        return len(self._named)
