"""DELETE and DELETECOLLECTION."""

from __future__ import annotations

import pytest

from kcp.api import selectors
from kcp.api.errors import StatusError
from kcp.registry.requests import DeleteOptions, ListOptions, Target
from tests.support.objects import config_map
from tests.support.registry_client import Object, RegistryClient, refused


async def test_an_object_without_finalizers_is_removed_at_once(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a"))
    assert await client.delete(client.config_maps, "a")
    with refused(404, "NotFound") as caught:
        await client.get(client.config_maps, "a")
    assert caught.value.message == 'configmaps "a" not found'
    with refused(404, "NotFound"):
        await client.delete(client.config_maps, "a")


async def test_preconditions(client: RegistryClient) -> None:
    made = await client.create(client.config_maps, config_map("a"))
    meta = made["metadata"]
    with refused(409, "Conflict") as caught:
        await client.delete(client.config_maps, "a", uid="another")
    assert caught.value.message == (
        'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (another) does not match the UID in '
        f"record ({meta['uid']}). The object might have been deleted and then recreated"
    )
    with refused(409, "Conflict") as caught:
        await client.delete(client.config_maps, "a", resource_version="1")
    assert caught.value.message == (
        'Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition (1) does not match the '
        f"ResourceVersion in record ({meta['resourceVersion']}). The object might have been modified"
    )
    assert await client.delete(client.config_maps, "a", uid=meta["uid"], resource_version=meta["resourceVersion"])


async def test_invalid_delete_options_are_refused(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a"))
    with refused(422, "Invalid"):
        await client.delete(client.config_maps, "a", propagation_policy="Sideways")
    with refused(422, "Invalid"):
        await client.delete(client.config_maps, "a", propagation_policy="")
    with refused(422, "Invalid"):
        await client.delete(client.config_maps, "a", propagation_policy="Orphan", orphan_dependents=True)


async def test_system_namespaces_cannot_be_deleted(client: RegistryClient) -> None:
    namespaces = client.type("namespaces")
    for name in ("default", "kube-system", "kube-public"):
        with refused(403, "Forbidden") as caught:
            await client.delete(namespaces, name)
        assert "this namespace may not be deleted" in caught.value.message


async def test_a_collection_is_deleted_by_selector(client: RegistryClient) -> None:
    for name, tier in (("a", "front"), ("b", "back"), ("c", "front")):
        await client.create(client.config_maps, config_map(name, metadata={"labels": {"tier": tier}}))
    chosen = ListOptions(label_selector=selectors.parse_label_selector("tier=front"))
    target = Target(client.config_maps, "default")
    listing = await client.registry.delete_collection(client.context(), target, DeleteOptions(), chosen)
    assert [record.key.name for chunk in listing.chunks for record in chunk] == ["a", "c"]
    assert await client.names(client.config_maps) == ["b"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"resource_version": "bad"}, 400),
        ({"resource_version": "99999999"}, 504),
        ({"continue_token": "bad"}, 400),
        ({"resource_version_match": "Exact"}, 422),
        ({"send_initial_events": True}, 422),
    ],
)
async def test_the_options_of_a_deletecollection_are_checked(
    client: RegistryClient, options: Object, code: int
) -> None:
    await client.create(client.config_maps, config_map("a"))
    target = Target(client.config_maps, "default")
    with pytest.raises(StatusError) as caught:
        await client.registry.delete_collection(client.context(), target, DeleteOptions(), ListOptions(**options))
    assert caught.value.code == code
    assert await client.names(client.config_maps) == ["a"]
