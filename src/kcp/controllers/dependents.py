"""Who names whom as its owner: the garbage collector's only memory.

Keyed by logical cluster, then by the owner's UID; nothing is kept of a logical cluster without owner references, and no
object is copied.
"""

from __future__ import annotations

from collections.abc import Iterable

from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import Key


class Dependents:
    """The index from an owner's UID to the keys of its dependents."""

    def __init__(self) -> None:
        self._by_cluster: dict[str, dict[str, set[Key]]] = {}

    def knows(self, cluster: LogicalClusterName) -> bool:
        """Whether anything in the logical cluster has an owner."""
        return cluster in self._by_cluster

    def of(self, cluster: LogicalClusterName, uid: str) -> tuple[Key, ...]:
        """The dependents of an owner."""
        return tuple(self._by_cluster.get(cluster, {}).get(uid, ()))

    def add(self, key: Key, owners: Iterable[str]) -> None:
        """An object names these owners."""
        for uid in owners:
            self._by_cluster.setdefault(key.cluster, {}).setdefault(uid, set()).add(key)

    def remove(self, key: Key, owners: Iterable[str]) -> None:
        """An object no longer names these owners."""
        by_uid = self._by_cluster.get(key.cluster)
        if by_uid is None:
            return
        for uid in owners:
            keys = by_uid.get(uid)
            if keys is None:
                continue
            keys.discard(key)
            if not keys:
                del by_uid[uid]
        if not by_uid:
            del self._by_cluster[key.cluster]
