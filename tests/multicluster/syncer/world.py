"""A logical cluster with a Cluster, the cluster, and a syncer between them: real servers, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from kcp.client import APIResource, Client, ClientConfiguration, NotFoundError, load_configuration
from kcp.multicluster.clusters import accounts
from kcp.multicluster.clusters.ownership import owner_reference
from kcp.multicluster.placement import CLUSTERS, MARK_LABEL, SYNC_ERROR_ANNOTATION
from kcp.multicluster.syncer import Syncer, SyncerSettings
from kcp.multicluster.syncer.ownership import Identity
from kcp.multicluster.syncer.upstream import read_identity
from kcp.testing import Server
from tests.multicluster.syncer.definitions import CLAIMS, DEPLOYMENTS, SERVICES, Object, define, definition
from tests.support.waiting import eventually

CONFIG_MAPS = APIResource("", "v1", "configmaps", "ConfigMap")
SECRETS = APIResource("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = APIResource("", "v1", "serviceaccounts", "ServiceAccount")
NAMESPACES = APIResource("", "v1", "namespaces", "Namespace", namespaced=False)
EVENTS = APIResource("", "v1", "events", "Event")
TYPES = (DEPLOYMENTS, SERVICES, CLAIMS)
CLUSTER = "east"
SETTINGS = SyncerSettings(
    resources=tuple(str(each.group_resource) for each in TYPES),
    heartbeat_interval=1,
    discovery_interval=1,
    clean_delay=0.1,
    last_delay=0.2,
)


class Side:
    """One of the two servers, as its users and controllers use it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def namespace(self, name: str) -> None:
        """Create a namespace."""
        await self.client.resource(NAMESPACES).create({"metadata": {"name": name}})

    async def get(self, resource: APIResource, namespace: str, name: str) -> Object | None:
        """Read an object."""
        try:
            return await self.client.resource(resource, namespace).get(name)
        except NotFoundError:
            return None

    async def becomes(
        self, resource: APIResource, namespace: str, name: str, condition: Callable[[Object], Any] = bool
    ) -> Object:
        """Wait until an object is so, and return it."""
        found: Object | None = None

        async def holds() -> bool:
            nonlocal found
            found = await self.get(resource, namespace, name)
            return found is not None and bool(condition(found))

        try:
            await eventually(holds, f"{resource.plural} {namespace}/{name}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {found}") from None
        assert found is not None
        return found

    async def vanishes(self, resource: APIResource, namespace: str, name: str) -> None:
        """Wait until there is no such object."""

        async def gone() -> bool:
            return await self.get(resource, namespace, name) is None

        await eventually(gone, f"{resource.plural} {namespace}/{name} is gone")

    async def write_status(self, resource: APIResource, namespace: str, name: str, status: Object) -> None:
        """Write the status of an object, as a controller does."""
        verbs = self.client.resource(resource, namespace)
        await verbs.patch(name, [{"op": "add", "path": "/status", "value": status}], subresource="status")


class World:
    """A Cluster of a logical cluster, and the cluster behind it."""

    def __init__(self, up: Side, down: Side, identity: Identity) -> None:
        self.up = up
        self.down = down
        self.identity = identity

    @property
    def there(self) -> str:
        """The namespace downstream of the namespace ``shop``."""
        return self.identity.namespace("shop")

    async def copies(self, resource: APIResource) -> list[Object]:
        """All copies of a resource."""
        listed = await self.down.client.resource(resource, "").list_all(
            label_selector={MARK_LABEL: self.identity.cluster_uid}
        )
        return listed.items

    @asynccontextmanager
    async def syncing(self, settings: SyncerSettings = SETTINGS, **options: Any) -> AsyncIterator[Syncer]:
        """Run a syncer."""
        syncer = Syncer(
            self.up.client, self.down.client, self.identity.cluster, self.identity.cluster_uid, settings, **options
        )
        task = asyncio.create_task(syncer.run())
        try:
            await eventually(lambda: syncer.is_ready or task.done(), "the syncer is ready")
            if task.done():
                task.result()
            yield syncer
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def register(client: Client, name: str = CLUSTER) -> Identity:
    """Create a Cluster in a logical cluster. Returns its identity."""
    await client.resource(CLUSTERS).create({"metadata": {"name": name}, "spec": {}})
    identity, _ = await read_identity(client, name)
    return identity


async def prepare(up: Client, down: Client, name: str = CLUSTER) -> World:
    """Define the workload types on both sides, register the cluster, and create the namespace ``shop``."""
    await define(down, *(definition(each) for each in TYPES))
    return await prepare_upstream(up, down, name)


async def prepare_upstream(up: Client, down: Client, name: str = CLUSTER) -> World:
    """As `prepare`, for a cluster that is prepared already."""
    conditions = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"type": "string"}},
            "x-kubernetes-preserve-unknown-fields": True,
        },
    }
    status = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"conditions": conditions},
    }
    await define(up, definition(CLUSTERS, status=status), *(definition(each) for each in TYPES))
    identity = await register(up, name)
    world = World(Side(up), Side(down), identity)
    await world.up.namespace("shop")
    return world


async def account_of(world: World, server: Server, seconds: int = 3600) -> tuple[ClientConfiguration, str, str]:
    """Make the account of the syncer upstream. Returns its configuration, its token, and when that expires."""
    identity = world.identity
    await accounts.ensure(world.up.client, identity.cluster, owner_reference(identity.cluster, identity.cluster_uid))
    token, expires = await accounts.issue_token(world.up.client, identity.cluster, seconds)
    admin = load_configuration(server.logical_cluster(identity.logical_cluster).kubeconfig)
    trust = admin.certificate_authority
    return ClientConfiguration.with_token(admin.server, token, certificate_authority=trust), token, expires


@asynccontextmanager
async def two_sides(server: Server) -> AsyncIterator[tuple[Client, Client]]:
    """Clients of two logical clusters, one of which stands for a cluster."""
    configurations: list[ClientConfiguration] = [
        load_configuration(server.logical_cluster().kubeconfig, qps=0.0) for _ in range(2)
    ]
    async with Client(configurations[0]) as up, Client(configurations[1]) as down:
        yield up, down


def assigned(name: str, cluster: str = CLUSTER, **fields: Any) -> Object:
    """An object that is assigned to a cluster."""
    return {"metadata": {"name": name, "labels": {"kcp.io/cluster": cluster}}, **fields}


def deployment(name: str = "web", *, pod: Object | None = None, **spec: Any) -> Object:
    """A Deployment that is assigned to the cluster."""
    template = {"spec": pod or {"containers": [{"name": "web", "image": "nginx"}]}}
    return assigned(name, spec={"replicas": 2, "template": template, **spec})


def having(value: Any, *path: str) -> Callable[[Object], bool]:
    """The condition that a field has a value."""

    def holds(found: Any) -> bool:
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return bool(found == value)

    return holds


def problem_of(found: Object) -> str:
    """The problem that the syncer reports of an object upstream."""
    return str((found["metadata"].get("annotations") or {}).get(SYNC_ERROR_ANNOTATION, ""))
