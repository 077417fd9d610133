"""The connection of the controller to one Cluster's Kubernetes cluster, with what was found out about it."""

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
class Session:
    """The state that the controller keeps of a Cluster; a new controller finds all of it again.

    Times are by the event loop's clock. ``state`` is what the Cluster said when the last check became due, at ``asked``, and
    ``checked`` when the last one that has ended began; ``answered`` is when the cluster was last asked what it is, and ``due``
    when it is checked next. ``offer`` is what was imported last, which is not done again before ``import_due`` unless it has
    changed. ``secret`` is the Secret that was read last, and its version; ``newest_secret`` is the version that the Cluster's
    Secret has, if it is followed; ``home`` is the UID of the logical cluster.
    """

    key: ObjectKey
    uid: str
    clients: SharedClients
    digest: str = ""
    state: object = None
    checked: object = None
    visit: asyncio.Task[float | None] | None = None
    configuration: ClientConfiguration | None = None
    secrets: Secrets | None = None
    secret: tuple[SecretKey | None, str] = (None, "")
    newest_secret: str = ""
    shared: SharedClient | None = None
    asked: float = 0.0
    answered: float = 0.0
    due: float = 0.0
    failures: int = 0
    failing_since: float = 0.0
    failure: Failure | None = None
    facts: Facts | None = None
    home: str = ""
    imported: Condition | None = None
    offer: Offer | None = None
    import_due: float = 0.0
    syncer: SyncerState = field(default_factory=SyncerState)

    def ask(self, state: object, at: float) -> None:
        """Note that a check became due at a time, in a state of the Cluster."""
        self.state, self.asked, self.due = state, at, math.inf

    def has_secret_of(self, record: ClusterRecord) -> bool:
        """Whether the present kubeconfig is used, as the Secret that has it is followed and has not changed."""
        newest = record.secret, self.newest_secret
        return bool(self.digest and record.secret and self.newest_secret) and self.secret == newest

    async def interrupt(self) -> None:
        """End the visit to the cluster that is under way: a check, or an attempt at the removal."""
        if self.visit is not None:
            self.visit.cancel()
            await asyncio.wait((self.visit,))

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

    def succeeded(self) -> None:
        """Record a check without a failure."""
        self.failure, self.failures = None, 0

    def failed(self, failure: Failure, now: float) -> float:
        """Record a failed check. Returns the seconds after which to check again, which double with each failure."""
        if self.failures == 0:
            self.failing_since = now
        self.failures += 1
        self.failure = failure._replace(seconds=now - self.failing_since)
        return float(min(_FIRST_DELAY * 2 ** min(self.failures - 1, 32), _LAST_DELAY))


def digest_of(kubeconfig: str) -> str:
    """Return the digest by which a kubeconfig is compared."""
    return hashlib.sha256(kubeconfig.encode()).hexdigest()
