"""Clients of API servers and of their logical clusters."""

from __future__ import annotations

from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from kcp.client.configuration import ClientConfiguration
from kcp.client.discovery.discovery import Discovery
from kcp.client.objects import Object
from kcp.client.resource_client import ResourceClient
from kcp.client.resources import APIResource
from kcp.client.transport.connections import Connection
from kcp.client.transport.requests import JSON, Request, Response
from kcp.logical_clusters import PATH_ROOT, UNNAMED, WILDCARD, InvalidNameError, LogicalClusterName, parse_name, path_of

ALL_NAMESPACES = ""


class Client:
    """An asynchronous client: ``async with Client(load_configuration()) as client``. Belongs to one event loop.

    Clients of other logical clusters (`logical_cluster`) share its connections and its limits.
    """

    def __init__(self, configuration: ClientConfiguration) -> None:
        base, cluster = _split(configuration.server)
        self._connection = Connection(configuration, base)
        self._set(cluster, configuration.namespace)

    def _set(self, cluster: LogicalClusterName, namespace: str) -> None:
        self.cluster = cluster
        """The logical cluster; `UNNAMED` for the server's default one, or an API server that has none."""
        self.namespace = namespace
        self._prefix = "" if cluster == UNNAMED else path_of(cluster)
        self.discovery = Discovery(self._connection, self._prefix)

    async def __aenter__(self) -> Self:
        self._connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    def logical_cluster(self, name: str, namespace: str = "default") -> Client:
        """Return a client of another logical cluster, which shares the connections. ``*`` means all, for lists and watches.

        Raises `kcp.logical_clusters.InvalidNameError`.
        """
        other = Client.__new__(Client)
        other._connection = self._connection  # noqa: SLF001 - one of its own
        other._set(parse_name(name), namespace)  # noqa: SLF001
        return other

    @property
    def cluster_of_objects(self) -> LogicalClusterName:
        """The logical cluster of the objects that have no annotation of theirs."""
        return UNNAMED if self.cluster == WILDCARD else self.cluster

    def resource(self, resource: APIResource, namespace: str | None = None) -> ResourceClient:
        """Return the verbs of a resource in a namespace (default: the client's; `ALL_NAMESPACES` to list and watch all)."""
        if namespace is None:
            namespace = ALL_NAMESPACES if self.cluster == WILDCARD else self.namespace
        return ResourceClient(self._connection, resource, namespace, self._prefix)

    async def find(self, name: str, namespace: str | None = None) -> ResourceClient:
        """Return the verbs of the resource that kubectl would find under a name. Raises DiscoveryError."""
        return self.resource(await self.discovery.find(name), namespace)

    async def of_object(self, object_: Object) -> ResourceClient:
        """Return the verbs of an object's resource, in the object's namespace. Raises DiscoveryError."""
        namespace = (object_.get("metadata") or {}).get("namespace")
        return self.resource(await self.discovery.resource_of(object_), namespace)

    async def version(self) -> Object:
        """The server's version document."""
        return (await self.raw("GET", "/version")).json()

    async def raw(
        self, method: str, path: str, body: bytes | None = None, *, accept: str = JSON, content_type: str = JSON
    ) -> Response:
        """Send any request; the path is relative to the logical cluster. Raises StatusError, TransportError."""
        idempotent = method in ("GET", "HEAD", "OPTIONS")
        return await self._connection.request(
            Request(method, self._prefix + path, (), body, content_type, accept=accept, idempotent=idempotent)
        )


def _split(server: str) -> tuple[str, LogicalClusterName]:
    """Split an address into the server's address and the name of the logical cluster.

    A proxy of other clusters may have such paths too, with names that no logical cluster has.
    """
    server = server.rstrip("/")
    path = urlsplit(server).path
    head, _, name = path.rpartition(f"/{PATH_ROOT}/")
    try:
        cluster = parse_name(name)
    except InvalidNameError:
        return server, UNNAMED
    return server.removesuffix(path) + head, cluster
