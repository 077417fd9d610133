"""A logical cluster whose APIs are negotiated, and the clusters that are imported into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from kcp.client import Client, NotFoundError, load_configuration
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.negotiation import Imported, NegotiationController, import_apis, remove_imports
from kcp.multicluster.negotiation.api import IMPORTS, NEGOTIATED
from kcp.testing import LogicalCluster
from tests.multicluster.recorded_clusters import RecordedCluster, serving
from tests.support.waiting import eventually

Object = dict[str, Any]
DEPLOYMENTS = "deployments.v1.apps"


class ControlPlane:
    """A logical cluster, as the user and the cluster controller of it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.imports = client.resource(IMPORTS)
        self.negotiated = client.resource(NEGOTIATED)
        self.definitions = client.resource(CUSTOM_RESOURCE_DEFINITIONS)

    async def register(self, location: str, cluster: RecordedCluster, *names: str, **options: Any) -> Imported:
        """Record what a cluster serves."""
        async with serving(cluster) as server, server.client(retries=0) as source:
            return await import_apis(source, self.client, location, names or ("deployments.apps",), **options)

    async def unregister(self, location: str) -> list[str]:
        """Forget a cluster."""
        return await remove_imports(self.client, location)

    async def get(self, resource: Any, name: str) -> Object | None:
        """Return an object; None if there is none."""
        try:
            found: Object = await resource.get(name)
        except NotFoundError:
            return None
        return found

    async def import_is(self, name: str, **conditions: str) -> Object:
        """Wait until the conditions of an import are so: their status, or their reason."""
        return await self._becomes(self.imports, name, lambda found: _has(found, conditions), f"{name} {conditions}")

    async def negotiated_is(self, name: str = DEPLOYMENTS, **conditions: str) -> Object:
        """Wait until the conditions of a negotiated resource are so."""
        return await self._becomes(self.negotiated, name, lambda found: _has(found, conditions), f"{name} {conditions}")

    async def definition_is(self, condition: Callable[[Object], bool], name: str = "deployments.apps") -> Object:
        """Wait until a definition is so."""
        return await self._becomes(self.definitions, name, condition, f"the definition {name}")

    async def _becomes(self, resource: Any, name: str, condition: Callable[[Object], bool], what: str) -> Object:
        found: Object | None = None

        async def holds() -> bool:
            nonlocal found
            found = await self.get(resource, name)
            return found is not None and condition(found)

        try:
            await eventually(holds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {(found or {}).get('status')}") from None
        assert found is not None
        return found

    async def vanishes(self, resource: Any, name: str) -> None:
        """Wait until there is no such object."""

        async def gone() -> bool:
            return await self.get(resource, name) is None

        await eventually(gone, f"{name} is gone")

    async def set_strategy(self, name: str, strategy: str) -> None:
        """Set the update strategy of an import, as a user does."""
        await self.imports.patch(name, {"spec": {"schemaUpdateStrategy": strategy}})

    async def publish(self, name: str = DEPLOYMENTS, *, publish: bool = True) -> None:
        """Publish a negotiated resource, as a user does."""
        await self.negotiated.patch(name, {"spec": {"publish": publish}})


def condition(found: Object, kind: str) -> Object:
    """A condition of an object; empty if it has none."""
    return next((each for each in found.get("status", {}).get("conditions", ()) if each["type"] == kind), {})


def _has(found: Object, wanted: dict[str, str]) -> bool:
    return all(value in condition(found, kind).values() for kind, value in wanted.items())


@asynccontextmanager
async def negotiating(cluster: LogicalCluster, **options: Any) -> AsyncIterator[ControlPlane]:
    """A controller at work in all logical clusters of the server, and one of them."""
    async with Client(load_configuration(cluster.kubeconfig)) as client:
        controller = NegotiationController(client, **options)
        async with controller.running():
            yield ControlPlane(client)


def field_at(found: Object, path: str) -> Object | None:
    """The schema at a path of a spec or definition; ``[]`` is a list's items."""
    schema = found["spec"].get("openAPIV3Schema") or found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for part in path.split("."):
        schema = schema["properties"].get(part.removesuffix("[]"))
        if schema is None:
            return None
        if part.endswith("[]"):
            schema = schema["items"]
    return dict(schema)
