"""Removal of the namespaces downstream that have no copies any more.

A namespace takes everything in it along. So it goes only if, beside its own three proofs, nothing is in it but what Kubernetes
puts there itself, and what belongs to copies that are gone and is being collected.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from kcp.client import APIResource, Client, ConflictError, ForbiddenError, NotFoundError, RetryError
from kcp.multicluster.placement import CLUSTER_LABEL, MARK_LABEL, locator_of, mark_of
from kcp.multicluster.syncer import upstream
from kcp.multicluster.syncer.downstream import is_namespace_of
from kcp.multicluster.syncer.ownership import metadata_of
from kcp.multicluster.syncer.reconciling import Shared
from kcp.multicluster.syncer.upstream import NAMESPACES

_KUBERNETES_OWN: Final = {"configmaps": ("kube-root-ca.crt",), "serviceaccounts": ("default",)}
"""What each namespace of a cluster has, by resource."""
_CHECKED: Final = 100
"""Objects of a resource in a namespace that are looked at: more than these keep the namespace."""

logger = logging.getLogger(__name__)


class NamespaceCleaner:
    """Removes namespaces downstream."""

    def __init__(self, shared: Shared, downstream: Client) -> None:
        self._shared = shared
        self._downstream = downstream

    async def clean(self, namespace: str) -> None:
        """Remove the copy of a namespace if it is not used. Raises RetryError, IdentityError, StatusError, TransportError."""
        shared, name = self._shared, self._shared.identity.namespace(namespace)
        cached = shared.namespaces.get(name)
        if cached is None:
            return
        found = cached.decode()
        ours = mark_of(found) == shared.identity.cluster_uid and is_namespace_of(
            shared.identity, locator_of(found), namespace
        )
        if not ours or metadata_of(found).get("deletionTimestamp"):
            return
        if not all(synced.is_complete for synced in shared.types.values()):
            raise RetryError("the copies are not known yet")
        if await self._is_used_upstream(namespace) or await self._is_used_downstream(name):
            return
        await upstream.check_identity(shared.client, shared.identity)
        try:
            await self._downstream.resource(NAMESPACES).delete(
                name, uid=found["metadata"]["uid"], resource_version=found["metadata"]["resourceVersion"]
            )
        except NotFoundError:
            return
        except ConflictError as error:
            raise RetryError(str(error)) from error
        logger.info("the namespace %s of the cluster is removed: %s needs it no more", name, namespace)

    async def _is_used_upstream(self, namespace: str) -> bool:
        """Whether an object in the namespace is assigned to the cluster. What follows such an object does so too."""
        shared = self._shared
        selector = {CLUSTER_LABEL: shared.identity.cluster}
        for synced in list(shared.types.values()):
            if await upstream.has_assigned(shared.client, synced.pair.upstream, namespace, selector):
                return True
        return False

    async def _has_copies(self, name: str) -> bool:
        """Whether the namespace has copies, also of types that are not synced at the moment."""
        selector = {MARK_LABEL: self._shared.identity.cluster_uid}
        for resource in (await self._downstream.discovery.all()).preferred():
            if not resource.namespaced or "list" not in resource.verbs:
                continue
            with suppress(ForbiddenError, NotFoundError):  # what the syncer may not list, it has not made
                if await upstream.has_assigned(self._downstream, resource, name, selector):
                    return True
        return False

    async def _is_used_downstream(self, name: str) -> bool:
        if await self._has_copies(name):
            return True
        for synced in list(self._shared.types.values()):
            resource = synced.pair.downstream
            listed = await self._downstream.resource(resource, name).list(limit=_CHECKED, metadata_only=True)
            used = next((item for item in listed.items if not _is_expendable(resource, item)), None)
            if used is not None:
                logger.info(
                    "the namespace %s of the cluster is kept: it has %s %s",
                    *(name, resource.plural, metadata_of(used).get("name")),
                )
                return True
            if listed.continue_:
                return True
        return False


def _is_expendable(resource: APIResource, item: Mapping[str, Any]) -> bool:
    """Return whether an object does not keep a namespace: it is Kubernetes' own, or belongs to another object."""
    meta = metadata_of(item)
    if meta.get("name") in _KUBERNETES_OWN.get(resource.plural, ()):
        return True
    return any(reference.get("controller") for reference in meta.get("ownerReferences") or ())
