"""A logical cluster with the definitions of all types that Kubernetes has and kcp has not."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from kcp.cli.crd_puller import served_by_kcp
from kcp.client import Client, load_configuration
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS, definition_of, structural_schema
from kcp.testing import LogicalCluster, Server
from tests.multicluster.objects import NAMESPACE, Object
from tests.multicluster.recordings import recording
from tests.support.waiting import eventually

KUBERNETES = "1.36"


class PulledCluster(NamedTuple):
    """A logical cluster, and the definitions that were applied to it."""

    cluster: LogicalCluster
    definitions: list[Object]


def pulled_definitions() -> list[Object]:
    """The definitions of the types that kcp does not serve, each in the version that Kubernetes prefers."""
    found, served = recording(KUBERNETES), served_by_kcp()
    names = found.schema_names()
    return [
        definition_of(each, structural_schema(found.schemas, names[each.group, each.version, each.kind]))
        for each in found.preferred()
        if each.group_resource not in served
    ]


async def define(client: Client, definitions: list[Object]) -> None:
    """Apply the definitions, wait until they are established, and create the namespaces of the tests' objects."""
    resource = client.resource(CUSTOM_RESOURCE_DEFINITIONS)
    for definition in definitions:
        await resource.apply(definition, field_manager="crd-puller")

    async def established() -> bool:
        items = (await resource.list_all()).items
        conditions = [{each["type"]: each["status"] for each in item["status"]["conditions"]} for item in items]
        return len(items) == len(definitions) and all(found["Established"] == "True" for found in conditions)

    await eventually(established, "all definitions are established")
    for name in (NAMESPACE, "space"):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await (await client.of_object(namespace)).create(namespace)


@pytest.fixture(scope="session")
def pulled(kcp_server: Server) -> PulledCluster:
    """The logical cluster, which the tests share."""

    async def fill() -> None:
        async with Client(load_configuration(cluster.kubeconfig, qps=0.0)) as client:
            await define(client, definitions)

    cluster, definitions = kcp_server.logical_cluster(), pulled_definitions()
    asyncio.run(fill())
    return PulledCluster(cluster, definitions)
