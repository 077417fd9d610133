"""Syncers in their clusters: installed with the cluster's kubeconfig, and updated when the image or their kubeconfig changes."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Final

from kcp.api.times import parse_time
from kcp.client import APIResource, Client, NotFoundError, ObjectKey
from kcp.client.objects import Object
from kcp.logical_clusters import path_of
from kcp.multicluster.clusters import accounts
from kcp.multicluster.clusters.api import (
    FIELD_MANAGER,
    HEARTBEAT_INTERVAL,
    KUBECONFIG_KEY,
    NAMESPACES,
    SECRETS,
    syncer_name,
)
from kcp.multicluster.clusters.imports import imported_resources
from kcp.multicluster.clusters.manifests import (
    ACCOUNT_UID_ANNOTATION,
    DEPLOYMENTS,
    INSTALLED_LABEL,
    Syncer,
    Token,
    Upstream,
    kubeconfig_of,
    objects_of,
    secret_of,
)
from kcp.multicluster.clusters.modes.contract import Registration
from kcp.multicluster.clusters.ownership import owner_reference
from kcp.multicluster.clusters.readiness import SyncerState
from kcp.multicluster.conditions import condition_of
from kcp.multicluster.syncer.token_renewal import TOKEN_EXPIRES_ANNOTATION, TOKEN_KEY
from kcp.schema.raw_schemas import number, schema, text

TOKEN_SECONDS: Final = 24 * 3600
"""The lifetime of a syncer's token. It is renewed at the half of it, or by the syncer at two thirds."""
_INSTALLING: Final = 60.0
"""Seconds for which a new Deployment may have no ready Pod."""


class InstalledSyncers:
    """Installs a syncer in each cluster."""

    def __init__(self, image: str, upstream: Upstream, heartbeat_interval: float = HEARTBEAT_INTERVAL) -> None:
        """``upstream`` is how clusters reach the server, without the path of a logical cluster."""
        self._heartbeat_interval = heartbeat_interval
        self._image = image
        self._upstream = upstream

    async def ensure(self, registration: Registration) -> SyncerState:
        owner = owner_reference(registration.name, registration.uid)
        await accounts.ensure(registration.upstream, registration.name, owner)
        syncer = await self._syncer(registration)
        downstream = registration.downstream
        *before, (deployments, deployment) = objects_of(syncer)
        for resource, wanted in before:
            await downstream.resource(resource, syncer.name).apply(wanted, field_manager=FIELD_MANAGER, force=True)
        await self._ensure_secret(registration, syncer)
        applied = await downstream.resource(deployments, syncer.name).apply(
            deployment, field_manager=FIELD_MANAGER, force=True
        )
        return state_of(applied, datetime.now(UTC))

    async def _syncer(self, registration: Registration) -> Syncer:
        server = self._upstream.server + path_of(registration.key.cluster)
        resources = await imported_resources(registration.upstream, registration.name)
        upstream = self._upstream._replace(server=server)
        syncer = Syncer(registration.name, registration.uid, self._image, upstream, resources)
        return syncer._replace(heartbeat_interval=self._heartbeat_interval)

    async def _ensure_secret(self, registration: Registration, syncer: Syncer) -> None:
        """Write the Secret if its kubeconfig is another one, or its token invalid or half as old as it may be."""
        secrets = registration.downstream.resource(SECRETS, syncer.name)
        try:
            found = await secrets.get(syncer.name)
        except NotFoundError:
            found = {}
        account = await registration.upstream.resource(accounts.SERVICE_ACCOUNTS, accounts.NAMESPACE).get(
            syncer_name(registration.name)
        )
        account_uid = text(account["metadata"], "uid")
        if is_valid(found, syncer, account_uid, datetime.now(UTC)):
            return
        token, expires = await accounts.issue_token(registration.upstream, registration.name, TOKEN_SECONDS)
        secret = secret_of(syncer, Token(token, expires, account_uid))
        await secrets.apply(secret, field_manager=FIELD_MANAGER, force=True)

    async def uninstall(self, registration: Registration) -> bool:
        await accounts.remove(registration.upstream, registration.name)  # from now on the syncer can do nothing in kcp
        syncer = Syncer(registration.name, registration.uid, self._image, self._upstream, ())
        for resource in (DEPLOYMENTS, accounts.CLUSTER_ROLE_BINDINGS, accounts.CLUSTER_ROLES, NAMESPACES):
            await _delete(registration.downstream, resource, syncer)
        try:
            await registration.downstream.resource(NAMESPACES).get(syncer.name)
        except NotFoundError:
            return True
        return False

    async def stop(self, key: ObjectKey) -> None:  # noqa: ARG002 - the contract's signature
        return

    async def close(self) -> None:
        return


async def _delete(client: Client, resource: APIResource, syncer: Syncer) -> None:
    """Delete an installed object, unless somebody else has made it."""
    objects = client.resource(resource, syncer.name)
    try:
        meta = (await objects.get(syncer.name))["metadata"]
        if (meta.get("labels") or {}).get(INSTALLED_LABEL) == syncer.cluster_uid and "deletionTimestamp" not in meta:
            await objects.delete(syncer.name, uid=meta["uid"])
    except NotFoundError:
        return


def is_valid(secret: Object, syncer: Syncer, account_uid: str, now: datetime) -> bool:
    """Return whether a syncer can go on with its Secret."""
    annotations = schema(schema(secret, "metadata") or {}, "annotations") or {}
    data = schema(secret, "data") or {}
    try:
        left = (parse_time(text(annotations, TOKEN_EXPIRES_ANNOTATION)) - now).total_seconds()
    except ValueError:
        return False
    return (
        text(data, KUBECONFIG_KEY) == base64.b64encode(kubeconfig_of(syncer.upstream).encode()).decode()
        and bool(text(data, TOKEN_KEY))
        and text(annotations, ACCOUNT_UID_ANNOTATION) == account_uid
        and left > TOKEN_SECONDS / 2
    )


def state_of(deployment: Object, now: datetime) -> SyncerState:
    """Return the state of a syncer by its Deployment."""
    meta, status = schema(deployment, "metadata") or {}, schema(deployment, "status") or {}
    current = (number(status, "observedGeneration") or 0) >= (number(meta, "generation") or 0)
    if current and (number(status, "availableReplicas") or 0) > 0:
        return SyncerState(independent=True)
    reason = text(dict(condition_of(status.get("conditions"), "Available")), "message") or "its Pod has not started yet"
    try:
        age = (now - parse_time(text(meta, "creationTimestamp"))).total_seconds()
    except ValueError:
        age = _INSTALLING
    return SyncerState(f"Syncer pod not ready: {reason}", installing=age < _INSTALLING, independent=True)
