"""The contract of a mode: what the controller tells it about a Cluster, and asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kcp.client import Client, ClientConfiguration, ObjectKey
from kcp.multicluster.clusters.messages import Secrets
from kcp.multicluster.clusters.readiness import SyncerState


@dataclass(frozen=True, slots=True)
class Registration:
    """A Cluster whose Kubernetes cluster was reached.

    ``digest`` is that of its kubeconfig; ``upstream`` is a client of its logical cluster, ``downstream`` one of its Kubernetes
    cluster, which the controller closes when the kubeconfig changes. ``secrets`` may not appear in messages.
    """

    key: ObjectKey
    uid: str
    digest: str
    configuration: ClientConfiguration
    upstream: Client
    downstream: Client
    secrets: Secrets

    @property
    def name(self) -> str:
        """The name of the Cluster."""
        return self.key.name


class SyncerMode(Protocol):
    """Runs or installs syncers."""

    async def ensure(self, registration: Registration) -> SyncerState:
        """Start, install or update a Cluster's syncer, and return its state. Called again each minute.

        Raises StatusError, ClientError.
        """

    async def uninstall(self, registration: Registration) -> bool:
        """Remove a Cluster's syncer from its Kubernetes cluster. Returns whether it is gone. Raises StatusError, ClientError."""

    async def stop(self, key: ObjectKey) -> None:
        """Stop what runs in this process for a Cluster."""

    async def close(self) -> None:
        """Stop everything that runs in this process."""
