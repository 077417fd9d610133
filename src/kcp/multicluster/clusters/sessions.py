"""What the controller keeps of one Cluster: its connection to the Kubernetes cluster, when it is checked, and what was found."""

from __future__ import annotations

import asyncio
import hashlib
import math
from dataclasses import dataclass, field
from typing import Final

from kcp.client import ClientConfiguration, ObjectKey
from kcp.multicluster.clusters.messages import Secrets
from kcp.multicluster.clusters.offers import Offer
from kcp.multicluster.clusters.probing import Facts
from kcp.multicluster.clusters.readiness import Failure, SyncerState
from kcp.multicluster.clusters.records import ClusterRecord, SecretKey
from kcp.multicluster.clusters.shared_clients import SharedClient, SharedClients
from kcp.multicluster.conditions import Condition

_FIRST_DELAY: Final = 1.0
_LAST_DELAY: Final = 60.0


@dataclass(slots=True)
class Schedule:
    """When a Cluster is checked, or an attempt at its removal is made: a visit. Times are by the event loop's clock."""

    state: object = None
    """What the Cluster said when the last visit became due."""
    asked: float = 0.0
    """When that was."""
    checked: object = None
    """What the Cluster said when the last check that has ended began."""
    answered: float = 0.0
    """When the cluster was last asked what it is."""
    due: float = 0.0
    """When the next visit is due."""
    visit: asyncio.Task[float | None] | None = None
    """The visit that is under way."""

    def ask(self, state: object, at: float) -> None:
        """Note that a visit became due at a time, in a state of the Cluster."""
        self.state, self.asked, self.due = state, at, math.inf

    async def interrupt(self) -> None:
        """End the visit that is under way."""
        if self.visit is not None:
            self.visit.cancel()
            await asyncio.wait((self.visit,))


@dataclass(slots=True)
class Connection:
    """The client of the Kubernetes cluster, and the kubeconfig that it is made of."""

    clients: SharedClients
    digest: str = ""
    configuration: ClientConfiguration | None = None
    secrets: Secrets | None = None
    secret: tuple[SecretKey | None, str] = (None, "")
    """The Secret that was read last, and its version."""
    newest_secret: str = ""
    """The version that the Cluster's Secret has, if it is followed."""
    shared: SharedClient | None = None

    def has_secret_of(self, record: ClusterRecord) -> bool:
        """Whether the present kubeconfig is used, as the Secret that has it is followed and has not changed."""
        newest = record.secret, self.newest_secret
        return bool(self.digest and record.secret and self.newest_secret) and self.secret == newest

    async def connect(self, digest: str, configuration: ClientConfiguration) -> SharedClient:
        """Return the client of the configuration; the one before is given back if another kubeconfig was given."""
        if self.shared is not None and digest == self.digest:
            return self.shared
        await self.close()
        self.shared, self.configuration, self.digest = (
            await self.clients.acquire(digest, configuration),
            configuration,
            digest,
        )
        return self.shared

    async def close(self) -> None:
        """Give the client back."""
        shared, self.shared, self.digest = self.shared, None, ""
        if shared is not None:
            await self.clients.release(shared)


@dataclass(slots=True)
class Failures:
    """The visits that have failed since the last one that has not."""

    last: Failure | None = None
    count: int = 0
    since: float = 0.0

    def succeeded(self) -> None:
        """Record a visit without a failure."""
        self.last, self.count = None, 0

    def failed(self, failure: Failure, now: float) -> float:
        """Record a failed visit. Returns the seconds until the next one, which double with each failure."""
        if self.count == 0:
            self.since = now
        self.count += 1
        self.last = failure._replace(seconds=now - self.since)
        return float(min(_FIRST_DELAY * 2 ** min(self.count - 1, 32), _LAST_DELAY))


@dataclass(slots=True)
class Found:
    """What was found out: about the cluster, and about its syncer. ``home`` is the UID of the logical cluster."""

    facts: Facts | None = None
    home: str = ""
    syncer: SyncerState = field(default_factory=SyncerState)


@dataclass(slots=True)
class ImportedOffer:
    """What was imported last, which is not done again before it is ``due`` unless it has changed."""

    condition: Condition | None = None
    offer: Offer | None = None
    due: float = 0.0


@dataclass(slots=True)
class Session:
    """The state that the controller keeps of a Cluster; a new controller finds all of it again."""

    key: ObjectKey
    uid: str
    connection: Connection
    schedule: Schedule = field(default_factory=Schedule)
    failures: Failures = field(default_factory=Failures)
    found: Found = field(default_factory=Found)
    imports: ImportedOffer = field(default_factory=ImportedOffer)


def digest_of(kubeconfig: str) -> str:
    """Return the digest by which a kubeconfig is compared."""
    return hashlib.sha256(kubeconfig.encode()).hexdigest()
