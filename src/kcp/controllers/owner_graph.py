"""The owner graph: which objects name which owners, and which are in foreground deletion or being orphaned.

The garbage collector's only state. It is keyed by logical cluster, then by the owner's UID; nothing is kept of a logical cluster
without owner references and without such deletions, and no object is copied.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from kcp.api import documents
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.verbs.deleting import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from kcp.store.contract import UNREADABLE, Key, Record
from kcp.work_queues.pacing import Pacer

HAS_OWNERS: Final = b"ownerReferences"
IS_DELETED: Final = b"deletionTimestamp"
"""Bytes that every record with owners, or with a deletion timestamp, contains; a few others do too.

Every write is searched for them: without the quotes, which JSON is full of, the search skips more.
"""


class OwnerNode(NamedTuple):
    """An object as the garbage collector sees it.

    ``blocks`` says whether the object blocks the foreground deletion of an owner, by the owner's UID; no object is its own owner.
    ``finalizer`` is the garbage collector's finalizer that keeps the deleted object; empty if there is none.
    """

    uid: str
    owners: list[dict[str, Any]]
    blocks: dict[str, bool]
    finalizer: str


_UNKNOWN: Final = OwnerNode("", [], {}, "")


def node_of(record: Record | None) -> OwnerNode:
    """The node of a record; without a UID where there is none, or a damaged one.

    Raises ValueError or LookupError where it is no object.
    """
    if record is None or record.value is UNREADABLE:
        return _UNKNOWN
    meta = documents.decode_stored(record.value)["metadata"]
    (uid, finalizer), owners, blocks = _state_in(meta), meta.get("ownerReferences") or [], dict[str, bool]()
    for reference in owners:
        owner = reference["uid"]
        blocks[owner] = reference.get("blockOwnerDeletion") is True or blocks.get(owner, False)
    blocks.pop(uid, None)
    return OwnerNode(uid, owners, blocks, finalizer)


def owner_state(value: bytes) -> tuple[str, str]:
    """The UID and the finalizer of the node of a stored object: what its dependents depend on."""
    return _state_in(documents.decode_stored(value)["metadata"])


def _state_in(meta: dict[str, Any]) -> tuple[str, str]:
    finalizers = meta.get("finalizers") or () if meta.get("deletionTimestamp") else ()
    waits_for = (name for name in (ORPHAN_FINALIZER, FOREGROUND_FINALIZER) if name in finalizers)
    return meta.get("uid", ""), next(waits_for, "")


class _Dependents:
    """The dependents of one owner, and whether each blocks it."""

    __slots__ = ("blocking", "blocks")

    def __init__(self) -> None:
        self.blocks: dict[Key, bool] = {}
        self.blocking = 0

    def put(self, key: Key, blocks: bool) -> None:
        self.blocking += blocks - self.blocks.get(key, False)
        self.blocks[key] = blocks

    def remove(self, key: Key) -> None:
        self.blocking -= self.blocks.pop(key, False)


class _Cluster:
    """The graph of a logical cluster."""

    __slots__ = ("dependents", "keys", "waiting")

    def __init__(self) -> None:
        self.dependents: dict[str, _Dependents] = {}
        """By the UID of the owner."""
        self.waiting: dict[Key, tuple[str, str]] = {}
        """The UID and the finalizer of each deleted object that the garbage collector keeps."""
        self.keys: dict[str, Key] = {}
        """The keys of these objects by UID."""


class OwnerGraph:
    """The owner graphs of all logical clusters."""

    def __init__(self) -> None:
        self._clusters: dict[LogicalClusterName, _Cluster] = {}

    def knows(self, cluster: LogicalClusterName) -> bool:
        """Whether the logical cluster has an object with an owner."""
        return cluster in self._clusters

    async def replace(self, key: Key, before: OwnerNode, after: OwnerNode) -> None:
        """Change the node of a key, in time slices. May be repeated, and ``before`` need not be in the graph.

        Only one node is changed at a time. The object waits for its finalizer, or no longer, when its owners are up to date.
        """
        pacer = Pacer()
        cluster = self._clusters.get(key.cluster)
        if cluster is None:
            cluster = self._clusters[key.cluster] = _Cluster()
        for uid in before.blocks.keys() - after.blocks.keys():
            await pacer.pause()
            if (dependents := cluster.dependents.get(uid)) is not None:
                dependents.remove(key)
                if not dependents.blocks:
                    del cluster.dependents[uid]
        for uid, blocks in after.blocks.items():
            await pacer.pause()
            if (dependents := cluster.dependents.get(uid)) is None:
                dependents = cluster.dependents[uid] = _Dependents()
            dependents.put(key, blocks)
        if (waited := cluster.waiting.pop(key, None)) is not None:
            cluster.keys.pop(waited[0], None)
        if after.finalizer:
            cluster.waiting[key] = after.uid, after.finalizer
            cluster.keys[after.uid] = key
        if not cluster.dependents and not cluster.waiting:
            del self._clusters[key.cluster]

    def dependents(self, cluster: LogicalClusterName, uid: str) -> tuple[Key, ...]:
        """The dependents of an owner."""
        found = self._dependents(cluster, uid)
        return tuple(found.blocks) if found is not None else ()

    def has_dependents(self, cluster: LogicalClusterName, uid: str) -> bool:
        """Whether an owner has dependents."""
        return self._dependents(cluster, uid) is not None

    def is_blocked(self, cluster: LogicalClusterName, uid: str) -> bool:
        """Whether a dependent blocks the foreground deletion of an owner."""
        found = self._dependents(cluster, uid)
        return found is not None and found.blocking > 0

    def waiting(self, cluster: LogicalClusterName, uid: str) -> Key | None:
        """The key of a deleted object that the garbage collector's finalizer keeps."""
        found = self._clusters.get(cluster)
        return found.keys.get(uid) if found is not None else None

    def waits_for(self, key: Key, uid: str) -> str:
        """The garbage collector's finalizer that keeps a deleted object; empty if there is none."""
        waiting = self._waiting(key)
        return waiting[1] if waiting is not None and waiting[0] == uid else ""

    async def is_in_circle(self, key: Key) -> bool:
        """Whether an object in foreground deletion waits for itself: all objects on a circle of blocking dependents wait.

        Searches once through what the object waits for, directly or not, in time slices. A circle that changes meanwhile may be
        missed; each of its objects that starts to wait, or changes its owners, is a reason to search again.
        """
        pacer = Pacer()
        found, to_follow = {key}, [key]
        while to_follow:
            waiting = self._waiting(to_follow.pop())
            dependents = self._dependents(key.cluster, waiting[0]) if waiting is not None else None
            if dependents is None or dependents.blocking == 0:
                continue
            for dependent, blocks in tuple(dependents.blocks.items()):
                await pacer.pause()
                if not blocks or not self._is_in_foreground(dependent):
                    continue
                if dependent == key:
                    return True
                if dependent not in found:
                    found.add(dependent)
                    to_follow.append(dependent)
        return False

    def _is_in_foreground(self, key: Key) -> bool:
        waiting = self._waiting(key)
        return waiting is not None and waiting[1] == FOREGROUND_FINALIZER

    def _waiting(self, key: Key) -> tuple[str, str] | None:
        cluster = self._clusters.get(key.cluster)
        return cluster.waiting.get(key) if cluster is not None else None

    def _dependents(self, cluster: LogicalClusterName, uid: str) -> _Dependents | None:
        found = self._clusters.get(cluster)
        return found.dependents.get(uid) if found is not None else None
