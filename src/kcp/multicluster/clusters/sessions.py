"""The connection of the controller to one Cluster's Kubernetes cluster, with what was found out about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from kcp.client import Client, ClientConfiguration, ObjectKey
from kcp.multicluster.clusters.messages import Secrets
from kcp.multicluster.clusters.offers import Offer
from kcp.multicluster.clusters.probing import Facts
from kcp.multicluster.clusters.readiness import Failure, SyncerState
from kcp.multicluster.conditions import Condition

_FIRST_DELAY: Final = 1.0
_LAST_DELAY: Final = 60.0


@dataclass(slots=True)
class Session:
    """The state that the controller keeps of a Cluster; a new controller finds all of it again.

    ``state`` is what the Cluster said at the last check; ``due`` is when the cluster is checked next, by the event loop's clock;
    ``offer`` is what was imported last, which is not done again before ``import_due`` unless it has changed; ``home`` is the UID
    of the logical cluster.
    """

    key: ObjectKey
    uid: str
    digest: str = ""
    state: object = None
    configuration: ClientConfiguration | None = None
    secrets: Secrets | None = None
    client: Client | None = None
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

    async def connect(self, digest: str, configuration: ClientConfiguration) -> Client:
        """Return a client of the configuration; the one before is closed if another kubeconfig was given."""
        if self.client is not None and digest == self.digest:
            return self.client
        await self.close()
        client = Client(configuration)
        await client.__aenter__()
        self.client, self.configuration, self.digest = client, configuration, digest
        return client

    async def close(self) -> None:
        """Close the client."""
        client, self.client, self.digest = self.client, None, ""
        if client is not None:
            await client.__aexit__(None, None, None)

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
