"""The removal of a Cluster that is being deleted: its syncer, what was synced, and what kcp has for it; at last its finalizer."""

from __future__ import annotations

from kcp.client import ALL_NAMESPACES, Client, ClientError, InvalidError, NotFoundError, RetryError, StatusError
from kcp.client.objects import Object
from kcp.multicluster.clusters import accounts, connecting
from kcp.multicluster.clusters.api import (
    FIELD_MANAGER,
    FINALIZER,
    FORGET_ANNOTATION,
    KUBECONFIG_OF_LABEL,
    SECRETS,
    Reason,
)
from kcp.multicluster.clusters.connecting import StepError
from kcp.multicluster.clusters.copies import Owner, UnreadGroupError, delete_copies, described
from kcp.multicluster.clusters.imports import imported_resources
from kcp.multicluster.clusters.modes.contract import SyncerMode
from kcp.multicluster.clusters.records import ClusterRecord
from kcp.multicluster.clusters.releasing import release_objects
from kcp.multicluster.clusters.sessions import Session
from kcp.multicluster.negotiation import remove_imports
from kcp.multicluster.placement import CLUSTERS
from kcp.schema.raw_schemas import strings, text


class Removal:
    """Removes Clusters, in steps that can be repeated."""

    def __init__(self, mode: SyncerMode) -> None:
        self._mode = mode

    async def remove(self, session: Session, record: ClusterRecord, upstream: Client) -> str | None:
        """Do what can be done now. Returns what is waited for, None when the finalizer is removed.

        Raises StepError where the Kubernetes cluster cannot be reached, StatusError and ClientError of kcp.
        """
        await self._mode.stop(record.key)
        reached = bool(record.physical_uid)  # else nothing can have been installed or synced
        if reached and not record.forget:
            progress = await self._empty(session, record, upstream)
            if not progress:
                await _forget(upstream, record)  # what follows may be repeated when the kubeconfig is gone
            return progress or "what kcp has for the cluster is being removed"
        await accounts.remove(upstream, record.name)
        await release_objects(upstream, record.name)
        await remove_imports(upstream, record.name)
        await _delete_kubeconfigs(upstream, record.name)
        await _remove_finalizer(upstream, record)
        return None

    async def _empty(self, session: Session, record: ClusterRecord, upstream: Client) -> str:
        """Remove the syncer and the copies from the Kubernetes cluster. Returns what is waited for."""
        registration = await connecting.connect(record, session, upstream)
        owner = Owner(record.uid, await connecting.uid_of_logical_cluster(upstream))
        groups = {each.group for each in await imported_resources(upstream, record.name)}
        try:
            if not await self._mode.uninstall(registration):
                return "waiting until the syncer has ended"
            left = await delete_copies(registration.downstream, owner, groups)
        except (StatusError, ClientError, UnreadGroupError) as error:
            message = (
                f"Error removing what was synced to cluster {record.name}: {registration.secrets.described(error)}"
            )
            raise StepError(Reason.CLUSTER_UNREACHABLE, message) from error
        return f"waiting until the cluster has deleted {described(left)}" if left else ""


async def _forget(upstream: Client, record: ClusterRecord) -> None:
    """Note that nothing is left in the Kubernetes cluster, which need not be reached any more."""
    metadata = {"uid": record.uid, "annotations": {FORGET_ANNOTATION: "true"}}
    await upstream.resource(CLUSTERS).patch(record.name, {"metadata": metadata}, field_manager=FIELD_MANAGER)


async def _delete_kubeconfigs(upstream: Client, name: str) -> None:
    """Delete the Secrets that were made for a Cluster."""
    secrets = await upstream.resource(SECRETS, ALL_NAMESPACES).list_all(
        label_selector={KUBECONFIG_OF_LABEL: name}, metadata_only=True
    )
    for secret in secrets.items:
        meta = secret["metadata"]
        try:
            await upstream.resource(SECRETS, meta["namespace"]).delete(meta["name"], uid=meta["uid"])
        except NotFoundError:
            continue


async def _remove_finalizer(upstream: Client, record: ClusterRecord) -> None:
    """Remove the finalizer, whatever else changes meanwhile: a syncer may still write heartbeats."""
    clusters = upstream.resource(CLUSTERS)
    try:
        meta = (await clusters.get(record.name))["metadata"]
        finalizers = strings(meta, "finalizers")
        if text(meta, "uid") != record.uid or FINALIZER not in finalizers:
            return
        patch: list[Object] = [
            {"op": "test", "path": "/metadata/uid", "value": record.uid},
            {"op": "test", "path": "/metadata/finalizers", "value": finalizers},
            {
                "op": "replace",
                "path": "/metadata/finalizers",
                "value": [each for each in finalizers if each != FINALIZER],
            },
        ]
        await clusters.patch(record.name, patch, field_manager=FIELD_MANAGER)
    except NotFoundError:
        return
    except InvalidError as error:
        raise RetryError from error  # a test of the patch has failed: another finalizer has come or gone
