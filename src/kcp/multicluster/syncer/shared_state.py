"""What the reconciliations of a syncer share: its clients, the types, and what is remembered of objects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kcp.api.kinds import GroupResource
from kcp.client import Client, EventRecorder
from kcp.multicluster.syncer.doubts import Doubts
from kcp.multicluster.syncer.downstream import Namespaces
from kcp.multicluster.syncer.metrics import SyncerMetrics
from kcp.multicluster.syncer.ownership import Identity, Key
from kcp.multicluster.syncer.references import References
from kcp.multicluster.syncer.statuses import Written
from kcp.multicluster.syncer.synced_types import SyncedType
from kcp.multicluster.syncer.transforms import references_of


class Settled(NamedTuple):
    """What the last comparison of a copy found right: the version of the source, and the digest of the copy's content."""

    source_version: str
    content: str


@dataclass
class Shared:
    """What the reconciliations of a syncer share. ``types`` changes while it runs."""

    identity: Identity
    client: Client
    namespaces: Namespaces
    recorder: EventRecorder
    metrics: SyncerMetrics
    queue: Callable[[Key], None]
    emptied: Callable[[str], None]
    """Called with the namespace of an object whose copy is gone."""
    lag: float
    """Seconds for which a cache may not show what was written. Until it does, further requests would repeat the last ones."""
    types: dict[GroupResource, SyncedType] = field(default_factory=dict)
    references: References = field(default_factory=References)
    settled: dict[Key, Settled] = field(default_factory=dict)
    statuses: dict[Key, Written] = field(default_factory=dict)
    """The last status that was written."""
    created: dict[Key, float] = field(default_factory=dict)
    """When the cache must have the copies that were created and that it has not shown yet."""
    doubts: Doubts = field(init=False)

    def __post_init__(self) -> None:
        self.doubts = Doubts(self.queue)

    @property
    def manager(self) -> str:
        """The field manager upstream."""
        return f"kcp-syncer-{self.identity.cluster}"

    def refer(self, referrer: Key, source: Mapping[str, Any] | None) -> None:
        """Follow what an object names, and queue what is named now, or was before."""
        synced = self.types.get(referrer.resource)
        named = []
        if source is not None and synced is not None:
            for name, target in references_of(source, synced.rules):
                plural, _, group = name.partition(".")
                named.append(Key(GroupResource(group, plural), referrer.namespace, target))
        for key in self.references.set(referrer, named):
            self.queue(key)

    def forget(self, key: Key) -> None:
        """Forget what was found of a copy that is gone."""
        self.settled.pop(key, None)
        self.statuses.pop(key, None)
        self.created.pop(key, None)
        self.doubts.discard(key)


def now() -> float:
    """Return the time of the event loop's clock, by which the times here are."""
    return asyncio.get_running_loop().time()
