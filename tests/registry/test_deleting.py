"""DELETE, DELETECOLLECTION, namespaces and garbage collection."""

from __future__ import annotations

import time

import pytest

from kcp.api.errors import StatusError
from kcp.registry.requests import DeleteOptions, ListOptions, Target
from tests.registry.world import (
    Object,
    World,
    config_map,
    refused,
    scenario,
    scenario_with_controllers,
    widget,
)


@scenario
async def test_an_object_that_nothing_holds_goes_at_once(world: World) -> None:
    await world.create(world.config_maps, config_map("a"))
    assert await world.delete(world.config_maps, "a")
    with refused(404, "NotFound") as caught:
        await world.get(world.config_maps, "a")
    assert caught.value.message == 'configmaps "a" not found'
    with refused(404, "NotFound"):
        await world.delete(world.config_maps, "a")


@scenario
async def test_preconditions(world: World) -> None:
    made = await world.create(world.config_maps, config_map("a"))
    meta = made["metadata"]
    with refused(409, "Conflict") as caught:
        await world.delete(world.config_maps, "a", uid="another")
    assert caught.value.message == (
        'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (another) does not match the UID in '
        f"record ({meta['uid']}). The object might have been deleted and then recreated"
    )
    with refused(409, "Conflict") as caught:
        await world.delete(world.config_maps, "a", resource_version="1")
    assert caught.value.message == (
        'Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition (1) does not match the '
        f"ResourceVersion in record ({meta['resourceVersion']}). The object might have been modified"
    )
    assert await world.delete(world.config_maps, "a", uid=meta["uid"], resource_version=meta["resourceVersion"])


@scenario
async def test_options_that_mean_nothing_are_refused(world: World) -> None:
    await world.create(world.config_maps, config_map("a"))
    with refused(422, "Invalid"):
        await world.delete(world.config_maps, "a", propagation_policy="Sideways")
    with refused(422, "Invalid"):
        await world.delete(world.config_maps, "a", propagation_policy="Orphan", orphan_dependents=True)


@scenario
async def test_system_namespaces_stay(world: World) -> None:
    namespaces = world.type("namespaces")
    for name in ("default", "kube-system", "kube-public"):
        with refused(403, "Forbidden") as caught:
            await world.delete(namespaces, name)
        assert "this namespace may not be deleted" in caught.value.message


@scenario_with_controllers
async def test_a_thousand_objects_go_with_their_namespace_within_a_second(world: World) -> None:
    namespaces = world.type("namespaces")
    await world.create(namespaces, {"metadata": {"name": "full"}})
    for number in range(1000):
        await world.create(world.config_maps, config_map(f"c-{number}"), "full")
    assert not await world.delete(namespaces, "full")
    with refused(403, "Forbidden") as caught:
        await world.create(world.config_maps, config_map("late"), "full")
    assert "because it is being terminated" in caught.value.message
    started = time.monotonic()
    await world.eventually(lambda: world.is_gone(namespaces, "full"))
    print(f"1,000 objects and their namespace took {time.monotonic() - started:.2f} s")
    assert await world.names(world.config_maps) == []


@scenario_with_controllers
async def test_a_finalizer_holds_the_namespace_and_a_condition_says_so(world: World) -> None:
    namespaces = world.type("namespaces")
    await world.create(namespaces, {"metadata": {"name": "held"}})
    await world.create(world.config_maps, config_map("a", finalizers=["example.com/hold"]), "held")
    await world.delete(namespaces, "held")

    async def says_so() -> bool:
        conditions = (await world.get(namespaces, "held")).get("status", {}).get("conditions", [])
        return any("example.com/hold in 1 resource instances" in entry["message"] for entry in conditions)

    await world.eventually(says_so)
    await world.patch(world.config_maps, "a", {"metadata": {"finalizers": None}}, namespace="held")
    await world.eventually(lambda: world.is_gone(namespaces, "held"))


def owned_by(owner: dict, name: str, **more: object) -> dict:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        **more,
    }
    return config_map(name, ownerReferences=[reference])


@scenario_with_controllers
async def test_dependents_follow_their_owner(world: World) -> None:
    owner = await world.create(world.config_maps, config_map("owner"))
    await world.create(world.config_maps, owned_by(owner, "child"))
    await world.delete(world.config_maps, "owner", propagation_policy="Background")
    await world.eventually(lambda: world.is_gone(world.config_maps, "child"))


@scenario_with_controllers
async def test_in_the_foreground_the_owner_goes_last(world: World) -> None:
    owner = await world.create(world.config_maps, config_map("owner"))
    child = owned_by(owner, "child", blockOwnerDeletion=True)
    child["metadata"]["finalizers"] = ["example.com/hold"]
    await world.create(world.config_maps, child)
    assert not await world.delete(world.config_maps, "owner", propagation_policy="Foreground")

    async def child_is_going() -> bool:
        return "deletionTimestamp" in (await world.get(world.config_maps, "child"))["metadata"]

    await world.eventually(child_is_going)
    assert not await world.is_gone(world.config_maps, "owner")
    await world.patch(world.config_maps, "child", {"metadata": {"finalizers": None}})
    await world.eventually(lambda: world.is_gone(world.config_maps, "owner"))
    assert await world.is_gone(world.config_maps, "child")


@scenario_with_controllers
async def test_orphans_stay_without_their_reference(world: World) -> None:
    owner = await world.create(world.config_maps, config_map("owner"))
    await world.create(world.config_maps, owned_by(owner, "child"))
    await world.delete(world.config_maps, "owner", propagation_policy="Orphan")
    await world.eventually(lambda: world.is_gone(world.config_maps, "owner"))
    child = await world.get(world.config_maps, "child")
    assert "ownerReferences" not in child["metadata"]


@scenario_with_controllers
async def test_an_owner_that_never_was_is_gone(world: World) -> None:
    ghost = {**config_map("ghost"), "metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}}
    await world.create(world.config_maps, owned_by(ghost, "child"))
    await world.eventually(lambda: world.is_gone(world.config_maps, "child"))


@scenario_with_controllers
async def test_references_do_not_reach_another_logical_cluster(world: World) -> None:
    other = world.at("other")
    owner = await world.create(world.config_maps, config_map("owner"))
    here = await other.create(other.config_maps, config_map("owner"))
    assert here["metadata"]["uid"] != owner["metadata"]["uid"]
    await other.create(other.config_maps, owned_by(here, "child"))
    await world.create(world.config_maps, owned_by(owner, "child"))
    await world.delete(world.config_maps, "owner")
    await world.eventually(lambda: world.is_gone(world.config_maps, "child"))
    assert not await other.is_gone(other.config_maps, "child")


@scenario_with_controllers
async def test_a_definition_takes_its_objects_along(world: World) -> None:
    await world.define()
    for number in range(20):
        await world.create(world.widgets, widget(f"w-{number}"))
    definitions = world.type("customresourcedefinitions", "apiextensions.k8s.io")
    await world.delete(definitions, "widgets.example.com", "")
    await world.eventually(lambda: world.is_gone(definitions, "widgets.example.com", ""))
    await world.define()
    assert await world.names(world.widgets) == []


@scenario
async def test_a_collection_is_deleted_by_selector(world: World) -> None:
    for name, tier in (("a", "front"), ("b", "back"), ("c", "front")):
        await world.create(world.config_maps, config_map(name, labels={"tier": tier}))
    from kcp.api import selectors
    from kcp.registry.requests import DeleteOptions, ListOptions, Target

    chosen = ListOptions(label_selector=selectors.parse_label_selector("tier=front"))
    target = Target(world.config_maps, "default")
    listing = await world.registry.delete_collection(world.context(), target, DeleteOptions(), chosen)
    assert [record.key.name for chunk in listing.chunks for record in chunk] == ["a", "c"]
    assert await world.names(world.config_maps) == ["b"]


pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"resource_version": "bad"}, 400),
        ({"continue_token": "bad"}, 400),
        ({"resource_version_match": "Exact"}, 422),
        ({"send_initial_events": True}, 422),
    ],
)
def test_the_options_of_a_deletecollection_are_checked(options: Object, code: int) -> None:
    @scenario
    async def check(world: World) -> None:
        await world.create(world.config_maps, config_map("a"))
        target = Target(world.config_maps, "default")
        with pytest.raises(StatusError) as caught:
            await world.registry.delete_collection(world.context(), target, DeleteOptions(), ListOptions(**options))
        assert caught.value.code == code
        assert await world.names(world.config_maps) == ["a"]

    check()
