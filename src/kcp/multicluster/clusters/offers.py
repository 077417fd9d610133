"""Whether what a cluster serves has to be imported again, by one small request instead of reading all of it.

The index of OpenAPI v3 (KEP-2896) has a hash of each group and version, so it changes with every schema. What it does not show,
such as the columns of a definition, is found by an import every now and then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from kcp.client import Client, NotFoundError
from kcp.client.informers.caches import Cache
from kcp.client.objects import Object
from kcp.multicluster.negotiation.api import DIGEST_ANNOTATION, IMPORTS
from kcp.multicluster.placement import CLUSTERS
from kcp.schema.raw_schemas import Raw, objects, schema, text

INTERVAL: Final = 600.0
"""Seconds after which resources are imported again though nothing seems to have changed."""
OWNERS: Final = "owners"
"""The index of imports by the Clusters that own them."""

Imports = frozenset[tuple[str, str]]
"""The names and digests of imports."""


class Offer(NamedTuple):
    """What a cluster serves, as its index says, and the imports of it. ``digest`` is that of the kubeconfig."""

    digest: str
    openapi: bytes
    imports: Imports


async def read_index(downstream: Client) -> bytes:
    """Return the index of OpenAPI v3; empty if the cluster has none. Raises StatusError, ClientError."""
    try:
        return (await downstream.raw("GET", "/openapi/v3")).body
    except NotFoundError:
        return b""


def owners_index(found: Object) -> Iterable[str]:
    """Return the values of an import in the index `OWNERS`: the UIDs of the Clusters that own it."""
    owners = objects(found["metadata"].get("ownerReferences"))
    return [text(each, "uid") for each in owners if each.get("kind") == CLUSTERS.kind]


def known_imports(imports: Cache, uid: str) -> Imports:
    """Return the names and digests of the imports that a Cluster owns, from a cache with the index `OWNERS`."""
    return frozenset(_summary(each.decode()) for each in imports.by_index(OWNERS, uid))


async def read_imports(upstream: Client, location: str, uid: str) -> Imports:
    """Return the names and digests of the imports of a location that a Cluster owns. Raises StatusError, ClientError."""
    try:
        listed = await upstream.resource(IMPORTS).list_all(
            field_selector={"spec.location": location}, metadata_only=True
        )
    except NotFoundError:
        return frozenset()  # a logical cluster without the API of negotiation
    return frozenset(_summary(each) for each in listed.items if uid in owners_index(each))


def _summary(found: Object) -> tuple[str, str]:
    meta: Raw = found["metadata"]
    return text(meta, "name"), text(schema(meta, "annotations") or {}, DIGEST_ANNOTATION)
