"""Requests to the logical cluster: authoritative reads of sources, and what the syncer writes to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kcp.client import ALL_NAMESPACES, APIResource, Client, ClientError, ForbiddenError, NotFoundError
from kcp.client.objects import Object
from kcp.multicluster.placement import CLUSTER_LABEL, CLUSTERS, IDENTITY_NAMESPACE, cluster_of, finalizer, held_label
from kcp.multicluster.syncer.ownership import Identity, Key, metadata_of

NAMESPACES: Final = APIResource("", "v1", "namespaces", "Namespace", namespaced=False)


class IdentityError(ClientError):
    """The server, the logical cluster or the Cluster is not the one that the syncer was started for: nothing is deleted."""


async def read_identity(client: Client, cluster: str) -> tuple[Identity, Object]:
    """Return the identity of a Cluster and of its logical cluster, and the Cluster. Raises StatusError, TransportError."""
    found = await client.resource(CLUSTERS).get(cluster)
    uid = await _uid_of_logical_cluster(client)
    return Identity(client.cluster, uid, cluster, str(metadata_of(found).get("uid") or "")), found


async def _uid_of_logical_cluster(client: Client) -> str:
    return str(metadata_of(await client.resource(NAMESPACES).get(IDENTITY_NAMESPACE)).get("uid") or "")


async def find_cluster(client: Client, cluster: str) -> tuple[Identity, Object]:
    """Return the identity of a Cluster that can be synced to, and the Cluster. Raises IdentityError, StatusError, ClientError."""
    try:
        identity, found = await read_identity(client, cluster)
    except NotFoundError as error:
        raise IdentityError(f"there is no Cluster {cluster}: {error}") from error
    if metadata_of(found).get("deletionTimestamp"):
        raise IdentityError(f"Cluster {cluster} is being deleted")
    return identity, found


async def check_identity(client: Client, identity: Identity) -> None:
    """Check that the server still has the Cluster and logical cluster of an identity. Raises as `find_cluster`."""
    present, _ = await find_cluster(client, identity.cluster)
    if (present.logical_cluster_uid, present.cluster_uid) != (identity.logical_cluster_uid, identity.cluster_uid):
        raise IdentityError(
            f"Cluster {identity.cluster} has UID {present.cluster_uid} in the logical cluster {present.logical_cluster_uid}, "
            f"and this syncer is for {identity.cluster_uid} in {identity.logical_cluster_uid}"
        )


async def read_object(client: Client, resource: APIResource, namespace: str, name: str) -> Object | None:
    """Read an object; None if it does not exist. Raises NotFoundError if its type is not served, StatusError, TransportError."""
    try:
        return await client.resource(resource, namespace).get(name)
    except NotFoundError as error:
        if resource.is_absence(error, name):
            return None
        raise


async def read_source(client: Client, resource: APIResource, cluster: str, namespace: str, name: str) -> Object | None:
    """Read the source of a copy; None if it does not exist, or is nothing to a cluster's syncer. Raises as `read_object`.

    A syncer with its own account is not told whether an object exists that it may not read (403). That such an object is neither
    assigned to the cluster nor held is what lists say that it may always make.
    """
    try:
        return await read_object(client, resource, namespace, name)
    except ForbiddenError:
        verbs = client.resource(resource, namespace)
        for selector in ({CLUSTER_LABEL: cluster}, held_label(cluster)):
            listed = await verbs.list(label_selector=selector, field_selector={"metadata.name": name}, limit=1)
            if listed.items:
                raise
        return None


async def has_assigned(client: Client, resource: APIResource, namespace: str, selector: Mapping[str, str]) -> bool:
    """Return whether a namespace has objects of a resource that a selector selects."""
    listed = await client.resource(resource, namespace).list(limit=1, label_selector=selector, metadata_only=True)
    return bool(listed.items)


async def held_objects(client: Client, resource: APIResource, cluster: str) -> list[Object]:
    """Return the metadata of all objects of a resource that have the finalizer of a cluster."""
    everywhere = client.resource(resource, ALL_NAMESPACES)
    return (await everywhere.list_all(label_selector=held_label(cluster), metadata_only=True)).items


def is_held(api_object: Mapping[str, Any], cluster: str) -> bool:
    """Return whether an object has the finalizer or the label of a cluster's syncer."""
    return any(_held_by(api_object, cluster))


def is_wholly_held(api_object: Mapping[str, Any], cluster: str) -> bool:
    """Return whether an object has the label of a cluster's syncer, and the finalizer just if it is assigned to the cluster."""
    has_finalizer, has_label = _held_by(api_object, cluster)
    return has_label and has_finalizer == is_assigned(api_object, cluster)


def _held_by(api_object: Mapping[str, Any], cluster: str) -> tuple[bool, bool]:
    meta = metadata_of(api_object)
    return finalizer(cluster) in (meta.get("finalizers") or ()), held_label(cluster) in (meta.get("labels") or {})


def is_assigned(api_object: Mapping[str, Any], cluster: str) -> bool:
    """Return whether an object is assigned to a cluster."""
    return cluster_of(api_object) == cluster


def metadata_patch(
    found: Mapping[str, Any], cluster: str, *, held: bool, annotations: Mapping[str, str | None]
) -> Object | None:
    """Return the patch that gives an object the label of a cluster, and the finalizer if it is assigned to it, or removes both.

    It also sets annotations, and is conditional on the object's version. Returns None if nothing differs.
    """
    meta = metadata_of(found)
    finalizers, own, label = list(meta.get("finalizers") or ()), finalizer(cluster), held_label(cluster)
    has_finalizer, has_label = _held_by(found, cluster)
    finalize = held and is_assigned(found, cluster) and (has_finalizer or not meta.get("deletionTimestamp"))
    patch: Object = {}
    if finalize != has_finalizer:
        patch["finalizers"] = [*finalizers, own] if finalize else [each for each in finalizers if each != own]
    if held != has_label:
        patch["labels"] = {label: "" if held else None}
    present = meta.get("annotations") or {}
    changed = {key: value for key, value in annotations.items() if present.get(key) != value}
    if changed:
        patch["annotations"] = changed
    if not patch:
        return None
    return {"metadata": {**patch, "uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}}


async def patch_metadata(client: Client, key: Key, resource: APIResource, patch: Object, manager: str) -> Object:
    """Write a patch of `metadata_patch`. Returns the object. Raises ConflictError if the object has changed."""
    return await client.resource(resource, key.namespace).patch(key.name, patch, field_manager=manager)


async def write_status(
    client: Client, key: Key, resource: APIResource, uid: str, status: Mapping[str, Any], manager: str
) -> Object:
    """Replace the status of an object, unless another one has its name by now. Returns the object."""
    patch: list[Object] = [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": "/status", "value": status},
    ]
    verbs = client.resource(resource, key.namespace)
    return await verbs.patch(key.name, patch, subresource="status", field_manager=manager)
