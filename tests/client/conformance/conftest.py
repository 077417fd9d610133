"""The API server of the suite: kcp, or the one that the options name."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kcp.client import Client, ClientConfiguration, ResourceClient, load_configuration
from kcp.testing import LogicalCluster
from tests.client.resources import CONFIG_MAPS, DEFINITIONS, NAMESPACES
from tests.support.running_coroutines import Enter
from tests.support.waiting import eventually


@pytest.fixture
def configuration(request: pytest.FixtureRequest) -> ClientConfiguration:
    """The server that the options name, else a fresh logical cluster of kcp."""
    option = request.config.getoption
    if path := option("--api-server-kubeconfig", default=None):
        return load_configuration(Path(path).expanduser(), context=option("--api-server-context"))
    if url := option("--api-server", default=None):
        return _of_url(url, option("--api-server-token"), option("--api-server-ca"))
    cluster: LogicalCluster = request.getfixturevalue("cluster")
    return load_configuration(cluster.kubeconfig, qps=0.0)


def _of_url(url: str, token: str, authority: str | None) -> ClientConfiguration:
    made = ClientConfiguration.with_token(url, token)
    if authority is None:
        return replace(made, insecure_skip_tls_verify=True)
    return replace(made, certificate_authority=Path(authority).read_bytes())


@pytest.fixture
def namespace(enter: Enter, client: Client) -> str:
    """A namespace that is deleted when the test has ended."""
    return enter(_namespace(client))


@asynccontextmanager
async def _namespace(client: Client) -> AsyncIterator[str]:
    name = f"client-conformance-{uuid.uuid4().hex[:8]}"
    namespaces = client.resource(NAMESPACES)
    await namespaces.create({"metadata": {"name": name}})
    try:
        yield name
    finally:
        await namespaces.delete(name)


@pytest.fixture
def config_maps(client: Client, namespace: str) -> ResourceClient:
    return client.resource(CONFIG_MAPS, namespace)


@pytest.fixture
def widgets(enter: Enter, client: Client, namespace: str) -> ResourceClient:
    """A custom resource with the subresources status and scale."""
    return enter(served_widgets(client, namespace))


@asynccontextmanager
async def served_widgets(client: Client, namespace: str) -> AsyncIterator[ResourceClient]:
    """Define the widgets, and wait until they are served."""
    group = f"{uuid.uuid4().hex[:8]}.client.example.com"
    definitions = client.resource(DEFINITIONS)
    await definitions.create(_definition(group))
    try:
        await eventually(lambda: _served(client, group), "the definition is served")
        yield await client.find(f"widgets.{group}", namespace)
    finally:
        await definitions.delete(f"widgets.{group}")


async def _served(client: Client, group: str) -> bool:
    found = await client.discovery.refresh()
    return any(resource.group == group for resource in found.resources)


def _definition(group: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
            "status": {"type": "object", "properties": {"size": {"type": "integer"}}},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
        },
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
    }
    names = {
        "plural": "widgets",
        "singular": "widget",
        "kind": "Widget",
        "listKind": "WidgetList",
        "shortNames": ["wdg"],
    }
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": f"widgets.{group}"}, "spec": spec}
