"""What a Kubernetes cluster is: its identity, version and capacity. The cluster is not trusted."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Final, NamedTuple

from kcp.client import (
    Client,
    ForbiddenError,
    MethodNotAllowedError,
    NotFoundError,
    TransportError,
)
from kcp.multicluster.clusters.api import NAMESPACES, NODES
from kcp.multicluster.clusters.capacity import allocatable_of, capacity_of
from kcp.multicluster.placement import IDENTITY_NAMESPACE
from kcp.schema.raw_schemas import Raw, schema, text

_PAGE: Final = 100
_PAGES: Final = 500
"""Nodes in a page, and pages: more nodes than Kubernetes supports."""
_SHOWN: Final = 128
"""Maximum number of characters of a text of the cluster that is recorded."""


class Facts(NamedTuple):
    """The facts about a cluster: fields of the status of its Cluster."""

    location: str
    version: str
    uid: str
    capacity: dict[str, str]
    allocatable: dict[str, str]

    def fields(self) -> Raw:
        """Return the fields of the status."""
        found: dict[str, Any] = {
            "location": self.location,
            "version": self.version,
            "physicalClusterUID": self.uid,
            "capacity": self.capacity,
            "allocatable": self.allocatable,
        }
        return {name: value for name, value in found.items() if value}


STATUS_FIELDS: Final = ("location", "version", "physicalClusterUID", "capacity", "allocatable")
"""The fields of the status that `Facts` fill in."""


async def read_identity(client: Client) -> tuple[str, str]:
    """Return version and UID of a cluster. Raises StatusError, TransportError, CredentialsError."""
    version = text(await client.version(), "gitVersion")[:_SHOWN]
    namespace = await client.resource(NAMESPACES).get(IDENTITY_NAMESPACE)
    return version, text(schema(namespace, "metadata") or {}, "uid")[:_SHOWN]


async def read_capacity(client: Client) -> tuple[dict[str, str], dict[str, str]]:
    """Return capacity and allocatable of a cluster. Raises as `read_identity`.

    Nodes may be many and large, so they are read in pages and not kept. A cluster may not show its nodes to the user of its
    kubeconfig: then its capacity is unknown.
    """
    capacity: dict[str, str] = {}
    allocatable: dict[str, str] = {}
    pages = 0
    try:
        async with aclosing(client.resource(NODES).pages(limit=_PAGE)) as listed:
            async for page in listed:
                pages += 1
                if pages > _PAGES:
                    raise TransportError("the list of nodes does not end")
                capacity = capacity_of(page.items, capacity)
                allocatable = allocatable_of(page.items, allocatable)
    except (ForbiddenError, NotFoundError, MethodNotAllowedError):
        return {}, {}
    return capacity, allocatable
