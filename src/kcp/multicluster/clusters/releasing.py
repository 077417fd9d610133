"""The release of the objects that were assigned to a Cluster which is gone: its syncer's finalizer is removed."""

from __future__ import annotations

from kcp.client import ALL_NAMESPACES, APIResource, Client, ConflictError, MethodNotAllowedError, NotFoundError
from kcp.client.objects import Object
from kcp.multicluster.clusters.api import FIELD_MANAGER
from kcp.schema.raw_schemas import strings


async def release_objects(client: Client, finalizer: str) -> None:
    """Remove a finalizer from all objects of a logical cluster. Raises StatusError, ClientError.

    Not only from those that are assigned to the Cluster now: one may have been assigned to another since.
    """
    found = await client.discovery.refresh()
    for resource in found.preferred():
        if not (resource.namespaced and resource.verbs >= {"list", "patch"}):
            continue
        try:
            listed = await client.resource(resource, ALL_NAMESPACES).list_all(metadata_only=True)
        except (NotFoundError, MethodNotAllowedError):
            continue
        for each in listed.items:
            if finalizer in strings(each["metadata"], "finalizers"):
                await _release(client, resource, each, finalizer)


async def _release(client: Client, resource: APIResource, found: Object, finalizer: str) -> None:
    meta = found["metadata"]
    objects = client.resource(resource, meta.get("namespace") or "")
    while True:
        finalizers = strings(meta, "finalizers")
        if finalizer not in finalizers:
            return
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {
                "op": "replace",
                "path": "/metadata/finalizers",
                "value": [each for each in finalizers if each != finalizer],
            },
        ]
        try:
            await objects.patch(meta["name"], patch, field_manager=FIELD_MANAGER)
        except NotFoundError:
            return
        except ConflictError:
            try:
                meta = (await objects.get(meta["name"]))["metadata"]
            except NotFoundError:
                return
        else:
            return
