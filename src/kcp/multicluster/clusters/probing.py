"""What a Kubernetes cluster is: its identity, version and capacity. The cluster is not trusted."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from kcp.client import Client, ClientConfiguration, ForbiddenError, MethodNotAllowedError, NotFoundError
from kcp.multicluster.clusters.api import NAMESPACES, NODES
from kcp.multicluster.clusters.capacity import allocatable_of, capacity_of
from kcp.multicluster.placement import IDENTITY_NAMESPACE
from kcp.schema.raw_schemas import Raw, schema, text

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


async def probe(client: Client, configuration: ClientConfiguration) -> Facts:
    """Return the facts about a cluster. Raises StatusError, TransportError, CredentialsError.

    A cluster may not show its nodes to the user of its kubeconfig: then its capacity is unknown.
    """
    version = text(await client.version(), "gitVersion")[:_SHOWN]
    namespace = await client.resource(NAMESPACES).get(IDENTITY_NAMESPACE)
    uid = text(schema(namespace, "metadata") or {}, "uid")[:_SHOWN]
    try:
        nodes = (await client.resource(NODES).list_all()).items
    except (ForbiddenError, NotFoundError, MethodNotAllowedError):
        nodes = []
    return Facts(configuration.server, version, uid, capacity_of(nodes), allocatable_of(nodes))
