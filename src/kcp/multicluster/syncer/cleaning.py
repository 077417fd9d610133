"""Removal of the namespaces downstream that have no copies any more.

A namespace takes everything in it along. So it goes only if, beside its own three proofs, nothing is in it but what Kubernetes
puts there itself, and what belongs to copies that are gone and is being collected.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

from kcp.client import (
    APIResource,
    Client,
    ConflictError,
    ForbiddenError,
    MethodNotAllowedError,
    NotFoundError,
    RetryError,
)
from kcp.client.objects import Object
from kcp.multicluster.leftovers import Leftover, kind_of, leftover, may_be_left
from kcp.multicluster.placement import CLUSTER_LABEL, locator_of, mark_of
from kcp.multicluster.syncer import upstream
from kcp.multicluster.syncer.downstream import is_namespace_of
from kcp.multicluster.syncer.ownership import metadata_of
from kcp.multicluster.syncer.shared_state import Shared
from kcp.multicluster.syncer.upstream import NAMESPACES

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
        found = None if shared.namespaces.get(name) is None else await shared.namespaces.read(name)
        if found is None:
            return
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

    async def _is_used_downstream(self, name: str) -> bool:
        """Whether the namespace has copies, or what is not the syncer's, also of types that are not synced. Raises RetryError."""
        found = await self._downstream.discovery.refresh()
        if found.failed:
            raise RetryError(f"whether the namespace {name} is used is not known: discovery is incomplete")
        left: list[tuple[APIResource, Object]] = []
        kinds = set()
        for resource in filter(may_be_left, found.preferred()):
            with suppress(
                ForbiddenError, NotFoundError, MethodNotAllowedError
            ):  # it has made nothing that it may not list
                page = await self._downstream.resource(resource, name).list(limit=_CHECKED, metadata_only=True)
                if page.continue_:
                    return True
                left += [(resource, item) for item in page.items]
                kinds.add(kind_of(resource))
        for resource, item in left:
            if leftover(resource.group_resource, item, kinds) is Leftover.FOREIGN:
                logger.info(
                    "the namespace %s of the cluster is kept: it has %s %s",
                    *(name, resource.plural, metadata_of(item).get("name")),
                )
                return True
        return False
