"""The copies that a syncer has made in a Kubernetes cluster, when its Cluster is deleted: which they are, and their deletion.

A copy is deleted if it has the mark of the Cluster and a locator with the UIDs of the Cluster and its logical cluster; that the
Cluster is being deleted was read from kcp. What lacks one of these is not touched, nor is a namespace with such objects.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from kcp.client import ALL_NAMESPACES, APIResource, Client, ConflictError, MethodNotAllowedError, NotFoundError
from kcp.client.objects import Object
from kcp.multicluster.clusters.api import NAMESPACES
from kcp.multicluster.leftovers import Leftover, kind_of, leftover, may_be_left
from kcp.multicluster.placement import MARK_LABEL, downstream_namespace, locator_of
from kcp.multicluster.syncer.kinds import kinds
from kcp.schema.raw_schemas import Raw, schema, text

logger = logging.getLogger(__name__)


class Owner(NamedTuple):
    """The UIDs of a Cluster and of its logical cluster."""

    cluster_uid: str
    logical_cluster_uid: str

    def owns(self, resource: APIResource, found: Object) -> bool:
        """Whether a marked object is a copy of the Cluster: its locator says so, and it is in the place of that copy.

        Whoever copies or restores objects of the cluster in another namespace copies mark and locator, too.
        """
        locator = locator_of(found)
        if locator is None or locator[1:4:2] != (self.logical_cluster_uid, self.cluster_uid):
            return False
        meta: Raw = found["metadata"]
        namespace = downstream_namespace(self.logical_cluster_uid, self.cluster_uid, locator.namespace)
        if not resource.namespaced:
            return (text(meta, "name"), locator.name) == (namespace, "")
        name = kinds().of(resource.group_resource).copy_name(locator.name)
        return (text(meta, "namespace"), text(meta, "name")) == (namespace, name)


class UnreadGroupError(Exception):
    """The cluster does not serve a group that may have copies: they cannot be found."""


def described(left: Sequence[str]) -> str:
    """Return what is left of copies, as a part of a message."""
    return left[0] if len(left) == 1 else f"{len(left)} objects, such as {left[0]}"


async def delete_copies(client: Client, owner: Owner, groups: Collection[str]) -> list[str]:
    """Delete the copies, then their namespaces. Returns those that are left, waiting for finalizers: ``<resource> <name>``.

    ``groups`` are the API groups of which there may be copies. Raises StatusError, ClientError, UnreadGroupError.
    """
    found = await client.discovery.refresh()
    unread = sorted(version.group for version in found.failed if version.group in groups)
    if unread:
        raise UnreadGroupError(f"the cluster does not serve the API groups {', '.join(unread)} at the moment")
    namespaced = [each for each in found.preferred() if may_be_left(each)]
    left = []
    for resource in namespaced:
        for copy in await _copies(client, resource, owner):
            left.append(
                f"{resource.group_resource} {text(copy['metadata'], 'namespace')}/{text(copy['metadata'], 'name')}"
            )
            await delete_copy(client, resource, copy)
    if left:
        return left
    return await _delete_namespaces(client, owner, namespaced)


async def _copies(client: Client, resource: APIResource, owner: Owner) -> list[Object]:
    try:
        listed = await client.resource(resource, ALL_NAMESPACES).list_all(
            label_selector={MARK_LABEL: owner.cluster_uid}, metadata_only=True
        )
    except (NotFoundError, MethodNotAllowedError):
        return []  # the type has just gone, and its objects with it
    return [each for each in listed.items if owner.owns(resource, each)]


async def delete_copy(client: Client, resource: APIResource, copy: Object) -> None:
    """Delete a copy in the state in which it was listed; what has changed since is judged at the next attempt."""
    meta: Raw = copy["metadata"]
    if "deletionTimestamp" in meta:
        return
    try:
        await client.resource(resource, text(meta, "namespace")).delete(
            text(meta, "name"),
            uid=text(meta, "uid"),
            resource_version=text(meta, "resourceVersion"),
            propagation_policy="Background",
        )
    except (NotFoundError, ConflictError):
        return


async def _delete_namespaces(client: Client, owner: Owner, namespaced: Iterable[APIResource]) -> list[str]:
    left, resources = [], list(namespaced)
    for namespace in await _copies(client, NAMESPACES, owner):
        name = text(namespace["metadata"], "name")
        if "deletionTimestamp" in namespace["metadata"]:
            left.append(f"namespaces {name}")
            continue
        foreign, dependent = await _others(client, name, resources)
        if foreign:
            logger.warning("the namespace %s is kept: kcp has not created %s in it", name, ", ".join(sorted(foreign)))
            continue
        left.append(f"namespaces {name}")
        if not dependent:
            await delete_copy(client, NAMESPACES, namespace)
    return left


async def _others(client: Client, namespace: str, resources: Iterable[APIResource]) -> tuple[set[str], bool]:
    """Return the objects of a namespace that belong to nobody, and whether some wait for the deletion of their owners."""
    found: list[tuple[APIResource, Object]] = []
    known = set()
    for resource in resources:
        try:
            listed = await client.resource(resource, namespace).list_all(metadata_only=True)
        except (NotFoundError, MethodNotAllowedError):
            continue
        found += [(resource, each) for each in listed.items]
        known.add(kind_of(resource))
    foreign, dependent = set(), False
    for resource, each in found:
        what = leftover(resource.group_resource, each, known)
        dependent = dependent or what is Leftover.DEPENDENT
        if what is Leftover.FOREIGN:
            foreign.add(f"{resource.plural}/{text(schema(each, 'metadata') or {}, 'name')}")
    return foreign, dependent
