"""Syncers that somebody else runs: ``kcp syncer``, or the manifest that ``kcp cluster manifest`` prints."""

from __future__ import annotations

from kcp.client import ObjectKey
from kcp.multicluster.clusters.modes.contract import Registration
from kcp.multicluster.clusters.readiness import SyncerState


class ExternalSyncers:
    """Neither runs nor installs syncers. A syncer ends by itself when its Cluster is deleted."""

    async def ensure(self, registration: Registration) -> SyncerState:
        name = registration.name
        advice = f"run kcp syncer --cluster {name}, or apply in the cluster what kcp cluster manifest {name} prints"
        return SyncerState(independent=True, advice=advice)

    async def uninstall(self, registration: Registration) -> bool:  # noqa: ARG002 - the contract's signature
        return True

    async def stop(self, key: ObjectKey) -> None:  # noqa: ARG002 - the contract's signature
        return

    async def close(self) -> None:
        return
