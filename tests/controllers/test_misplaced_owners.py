"""An owner reference to an object of another namespace is reported by an Event about the dependent."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.objects import config_map
from tests.support.registry_client import Object, RegistryClient
from tests.support.waiting import eventually


def _reference(owner: Object) -> Object:
    meta = owner["metadata"]
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}


async def _events(client: RegistryClient, count: int) -> list[Object]:
    events = client.type("events")

    async def there() -> bool:
        return len((await client.list(events))["items"]) >= count

    await eventually(there, "the Events are there")
    found: list[Object] = (await client.list(events))["items"]
    return found


@pytest.mark.usefixtures("controllers")
async def test_a_dependent_of_an_object_in_another_namespace_is_reported_and_goes(client: RegistryClient) -> None:
    await client.create(
        client.type("namespaces"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}, ""
    )
    owner = await client.create(client.config_maps, config_map("owner"), "team")
    made = await client.create(client.config_maps, config_map("a", metadata={"ownerReferences": [_reference(owner)]}))
    (event,) = await _events(client, 1)
    uid = owner["metadata"]["uid"]
    assert event["message"] == (
        f'ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: {uid}] does not exist in namespace "default"'
    )
    assert (event["type"], event["reason"]) == ("Warning", "OwnerRefInvalidNamespace")
    assert event["source"] == {"component": "garbage-collector-controller"}
    assert event["involvedObject"] == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "name": "a",
        "namespace": "default",
        "uid": made["metadata"]["uid"],
    }
    await client.wait_until_gone(client.config_maps, "a")


@pytest.mark.usefixtures("controllers")
async def test_a_cluster_scoped_dependent_of_a_namespaced_object_is_reported_and_stays(client: RegistryClient) -> None:
    owner = await client.create(client.config_maps, config_map("owner"))
    roles = client.type("clusterroles", "rbac.authorization.k8s.io")
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "r", "ownerReferences": [_reference(owner)]},
    }
    await client.create(roles, role, "")
    (event,) = await _events(client, 1)
    assert event["metadata"]["namespace"] == "default"
    assert event["message"].endswith('does not exist in namespace ""')
    assert "namespace" not in event["involvedObject"]
    assert await client.get(roles, "r", "")


@pytest.mark.usefixtures("controllers")
async def test_a_dependent_that_lost_its_owner_is_not_reported(client: RegistryClient) -> None:
    owner = await client.create(client.config_maps, config_map("owner"))
    for number in range(5):
        await client.create(
            client.config_maps, config_map(f"d-{number}", metadata={"ownerReferences": [_reference(owner)]})
        )
    await client.delete(client.config_maps, "owner")

    async def all_gone() -> bool:
        return await client.names(client.config_maps) == []

    await eventually(all_gone, "the dependents are gone")
    await asyncio.sleep(0)
    assert (await client.list(client.type("events")))["items"] == []
