"""What a server serves, under the names that users give it."""

from __future__ import annotations

import pytest

from kcp.api.kinds import GroupVersionKind
from kcp.client import Client, DiscoveryError, ResourceClient
from kcp.client.discovery.discovery import Discovery
from tests.client.conformance.conftest import served_widgets


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("configmaps", "configmaps.v1"),
        ("configmap", "configmaps.v1"),
        ("cm", "configmaps.v1"),
        ("ConfigMap", "configmaps.v1"),
        ("leases", "leases.v1.coordination.k8s.io"),
        ("leases.coordination.k8s.io", "leases.v1.coordination.k8s.io"),
        ("leases.v1.coordination.k8s.io", "leases.v1.coordination.k8s.io"),
        ("crd", "customresourcedefinitions.v1.apiextensions.k8s.io"),
        ("events.v1.events.k8s.io", "events.v1.events.k8s.io"),
        ("ev", "events.v1"),
    ],
)
async def test_a_resource_is_found_by_its_names(client: Client, name: str, expected: str) -> None:
    assert str(await client.discovery.find(name)) == expected


async def test_what_is_known_of_a_resource(client: Client) -> None:
    found = await client.discovery.find("namespaces")
    assert not found.namespaced
    assert found.kind == "Namespace"
    assert {"create", "delete", "get", "list", "patch", "update", "watch"} <= found.verbs
    assert found.short_names == ("ns",)
    assert found.subresources["status"].kind == GroupVersionKind("", "v1", "Namespace")


async def test_the_kind_of_a_scale_is_that_of_autoscaling(widgets: ResourceClient) -> None:
    assert widgets.resource.subresources["scale"].kind == GroupVersionKind("autoscaling", "v1", "Scale")
    assert "wdg" in widgets.resource.short_names


async def test_both_forms_of_discovery_say_the_same(client: Client, widgets: ResourceClient) -> None:
    aggregated = await client.discovery.refresh()
    older = await Discovery(client._connection, client._prefix, aggregated=False).all()
    assert widgets.resource in older.resources
    assert set(older.resources) == set(aggregated.resources)
    for resource in older.resources:
        (other,) = (each for each in aggregated.resources if each == resource)
        assert other.subresources == resource.subresources
    assert not older.failed


async def test_a_definition_that_came_since_is_found(client: Client, namespace: str) -> None:
    await client.discovery.all()
    async with served_widgets(client, namespace) as widgets:
        assert await client.discovery.find(f"widgets.{widgets.resource.group}") == widgets.resource


async def test_what_is_not_there_is_said(client: Client) -> None:
    with pytest.raises(DiscoveryError, match='the server has no resource "gadgets"'):
        await client.find("gadgets")
