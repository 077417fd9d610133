"""Unfinished deletions at the start of a server: it completes them, and can be stopped meanwhile."""

from __future__ import annotations

import signal
from pathlib import Path

from kcp.server.process.parts import Parts
from kcp.testing import Server
from tests.controllers.test_owner_circles import own
from tests.support.clients import Address, Connection
from tests.support.kcp_process import started
from tests.support.objects import config_map, widget
from tests.support.registry_client import Object, RegistryClient, running_controllers
from tests.support.waiting import eventually

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
OWN_MAPS_ONLY = ["--publish-root-ca=false"]


async def make_circles_in_foreground_deletion(root: Path) -> None:
    """Create objects that own each other or themselves, and delete each in the foreground, without controllers."""
    with Server(root_directory=root, arguments=OWN_MAPS_ONLY, parts=Parts(controllers=lambda _: [])) as server:
        async with Connection(Address.of(server)) as connection:
            uids = {}
            for name in ("a", "b", "self"):
                made = await connection.request("POST", CONFIG_MAPS, config_map(name))
                uids[name] = made.json["metadata"]["uid"]
            for name, owner in (("a", "b"), ("b", "a"), ("self", "self")):
                reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uids[owner]}
                patch = {"metadata": {"ownerReferences": [{**reference, "blockOwnerDeletion": True}]}}
                media_type = "application/merge-patch+json"
                answer = await connection.request("PATCH", f"{CONFIG_MAPS}/{name}", patch, media_type=media_type)
                assert answer.status == 200
            for name in uids:
                answer = await connection.request("DELETE", f"{CONFIG_MAPS}/{name}?propagationPolicy=Foreground")
                assert answer.status == 200
            assert len((await connection.request("GET", CONFIG_MAPS)).json["items"]) == 3


async def test_a_server_starts_over_circles_and_deletes_them(tmp_path: Path) -> None:
    await make_circles_in_foreground_deletion(tmp_path)
    with Server(root_directory=tmp_path, in_process=False, arguments=OWN_MAPS_ONLY) as server:
        async with Connection(Address.of(server)) as connection:

            async def none_left() -> bool:
                return not (await connection.request("GET", CONFIG_MAPS)).json["items"]

            await eventually(none_left, "the circles are gone")


async def test_a_server_that_starts_over_circles_can_be_stopped(tmp_path: Path) -> None:
    await make_circles_in_foreground_deletion(tmp_path)
    with started(tmp_path) as process:
        code, _ = process.stop(signal.SIGTERM)
    assert code == 0


async def make_owner(client: RegistryClient) -> Object:
    """Create a ConfigMap that a starting controller reads before it yields for the first time, and others that follow."""
    await client.define()
    for number in range(600):
        await client.create(client.config_maps, config_map(f"z-{number}"))
    return await client.create(client.config_maps, config_map("owner"))


async def test_dependents_of_a_type_that_comes_later_in_the_log_are_orphaned_and_not_deleted(
    client: RegistryClient,
) -> None:
    owner = await make_owner(client)
    names = [f"w-{number}" for number in range(3)]
    for name in names:
        await own(client, await client.create(client.widgets, widget(name)), owner)
    await client.delete(client.config_maps, "owner", propagation_policy="Orphan")
    async with running_controllers(client.registry):
        await client.wait_until_gone(client.config_maps, "owner")
        kept = (await client.list(client.widgets))["items"]
        assert [item["metadata"]["name"] for item in kept] == names
        assert not any("ownerReferences" in item["metadata"] for item in kept)


async def test_an_owner_waits_for_a_blocking_dependent_of_a_type_that_comes_later_in_the_log(
    client: RegistryClient,
) -> None:
    owner = await make_owner(client)
    await own(client, await client.create(client.widgets, widget("held", finalizers=["example.com/hold"])), owner)
    await client.delete(client.config_maps, "owner", propagation_policy="Foreground")

    async def is_going() -> bool:
        return "deletionTimestamp" in (await client.get(client.widgets, "held"))["metadata"]

    async with running_controllers(client.registry):
        await eventually(is_going, "the dependent is being deleted")
        assert not await client.is_gone(client.config_maps, "owner")
        await client.patch(client.widgets, "held", {"metadata": {"finalizers": None}})
        await client.wait_until_gone(client.config_maps, "owner")
