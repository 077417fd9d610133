"""Whether what a cluster serves has to be imported again, by two small requests instead of reading all of it.

The index of OpenAPI v3 (KEP-2896) has a hash of each group and version, so it changes with every schema. What it does not show,
such as the columns of a definition, is found by an import every now and then.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kcp.client import Client, NotFoundError
from kcp.multicluster.negotiation.api import DIGEST_ANNOTATION, IMPORTS
from kcp.schema.raw_schemas import Raw, schema, text

INTERVAL: Final = 600.0
"""Seconds after which resources are imported again though nothing seems to have changed."""


class Offer(NamedTuple):
    """What a cluster serves, as its index says, and the imports of it. ``digest`` is that of the kubeconfig."""

    digest: str
    openapi: bytes
    imports: frozenset[tuple[str, str, str]]


async def read_index(downstream: Client) -> bytes:
    """Return the index of OpenAPI v3; empty if the cluster has none. Raises StatusError, ClientError."""
    try:
        return (await downstream.raw("GET", "/openapi/v3")).body
    except NotFoundError:
        return b""


async def read_imports(upstream: Client, location: str) -> frozenset[tuple[str, str, str]]:
    """Return the names, owners and digests of the imports of a cluster. Raises StatusError, ClientError."""
    try:
        listed = await upstream.resource(IMPORTS).list_all(
            field_selector={"spec.location": location}, metadata_only=True
        )
    except NotFoundError:
        return frozenset()  # a logical cluster without the API of negotiation
    return frozenset(_summary(each["metadata"]) for each in listed.items)


def _summary(meta: Raw) -> tuple[str, str, str]:
    annotations = schema(meta, "annotations") or {}
    return text(meta, "name"), text(annotations, DIGEST_ANNOTATION), str(meta.get("ownerReferences"))
