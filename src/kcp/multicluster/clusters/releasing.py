"""The release of the objects that were assigned to a Cluster which is gone: its syncer's finalizer is removed."""

from __future__ import annotations

from kcp.client import ALL_NAMESPACES, APIResource, Client, ConflictError, MethodNotAllowedError, NotFoundError
from kcp.client.objects import Object
from kcp.multicluster.clusters.api import FIELD_MANAGER
from kcp.multicluster.placement import finalizer, held_label
from kcp.schema.raw_schemas import strings


async def release_objects(client: Client, cluster: str) -> None:
    """Remove the finalizer and the label of a Cluster's syncer from the objects that have them. Raises StatusError, ClientError.

    They may have been assigned to another Cluster since.
    """
    found = await client.discovery.refresh()
    for resource in found.preferred():
        if not (resource.namespaced and resource.verbs >= {"list", "patch"}):
            continue
        try:
            listed = await client.resource(resource, ALL_NAMESPACES).list_all(
                label_selector=held_label(cluster), metadata_only=True
            )
        except (NotFoundError, MethodNotAllowedError):
            continue
        for each in listed.items:
            await _release(client, resource, each, cluster)


async def _release(client: Client, resource: APIResource, found: Object, cluster: str) -> None:
    meta, own, label = found["metadata"], finalizer(cluster), held_label(cluster)
    objects = client.resource(resource, meta.get("namespace") or "")
    while True:
        finalizers = [each for each in strings(meta, "finalizers") if each != own]
        released = {
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
            "finalizers": finalizers or None,
            "labels": {label: None},
        }
        try:
            await objects.patch(meta["name"], {"metadata": released}, field_manager=FIELD_MANAGER)
        except NotFoundError:
            return
        except ConflictError:
            try:
                meta = (await objects.get(meta["name"]))["metadata"]
            except NotFoundError:
                return
        else:
            return
