"""Objects of a custom resource in versions other than the one that they are stored in."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import yaml

from kcp.api.errors import StatusError
from kcp.registry.representations.whole_objects import WHOLE_OBJECTS
from kcp.registry.requests import ListOptions, Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.records import key_of
from tests.registry.world import Object, World, refused, scenario, scenario_with_controllers

GAUGES = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gauges.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gauges, singular: gauge, kind: Gauge, listKind: GaugeList}
  versions:
  - name: v1
    served: true
    storage: false
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {old: {type: string}, both: {type: string}, unit: {type: string, default: mm}}}
          status: {type: object, properties: {phase: {type: string}}}
  - name: v2
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {new: {type: string}, both: {type: string}, scale: {type: string, default: linear}}}
          status: {type: object, default: {phase: Pending}, properties: {phase: {type: string}}}
"""
WEBHOOK = {
    "strategy": "Webhook",
    "webhook": {
        "conversionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "hooks", "name": "hook", "path": "/convert"}},
    },
}


def _gauge(version: str, **spec: str) -> Object:
    return {"apiVersion": f"example.com/{version}", "kind": "Gauge", "metadata": {"name": "g"}, "spec": spec}


def _v(world: World, version: str) -> ResourceType:
    return world.type("gauges", "example.com", version)


def _definitions(world: World) -> ResourceType:
    return world.type("customresourcedefinitions", "apiextensions.k8s.io")


async def _with_webhook(world: World) -> None:
    definition = await world.get(_definitions(world), "gauges.example.com", "")
    definition["spec"]["conversion"] = WEBHOOK
    await world.update(_definitions(world), definition)


@scenario
async def test_what_the_storage_version_does_not_declare_is_not_kept(world: World) -> None:
    await world.define(GAUGES)
    made = await world.create(_v(world, "v1"), _gauge("v1", old="o", both="b", unit="in"))
    assert made["apiVersion"] == "example.com/v1"
    assert made["spec"] == {"both": "b"}
    assert (await world.get(_v(world, "v1"), "g")) == made
    assert (await world.get(_v(world, "v2"), "g"))["spec"] == {"both": "b", "scale": "linear"}


@scenario
async def test_a_write_through_another_version_prunes_what_that_version_does_not_declare(world: World) -> None:
    await world.define(GAUGES)
    await world.create(_v(world, "v2"), _gauge("v2", new="n", both="b"))
    changed = await world.patch(_v(world, "v1"), "g", {"spec": {"both": "c"}})
    assert changed["spec"] == {"both": "c"}
    assert (await world.get(_v(world, "v2"), "g"))["spec"] == {"both": "c", "scale": "linear"}


@scenario
async def test_an_object_is_stored_as_its_storage_version_reads_it(world: World) -> None:
    await world.define(GAUGES)
    await world.create(_v(world, "v1"), _gauge("v1", both="b"))
    type_ = _v(world, "v2")
    record = world.registry.store.get(key_of(type_, world.cluster, "default", "g"))
    assert record is not None
    assert record.tag == type_.schema_hash
    assert orjson.loads(record.value)["status"] == {"phase": "Pending"}


@scenario
async def test_a_write_through_another_version_that_changes_nothing_writes_nothing(world: World) -> None:
    await world.define(GAUGES)
    first = await world.create(_v(world, "v1"), _gauge("v1", both="b"))
    again = await world.update(_v(world, "v1"), first, "status")
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    dry = await world.patch(_v(world, "v1"), "g", {"spec": {"both": "c", "old": "o"}}, dry_run=True)
    assert dry["spec"] == {"both": "c"}


@scenario
async def test_lists_and_watches_in_another_version_show_the_same(world: World) -> None:
    await world.define(GAUGES)
    stream = await world.watch(_v(world, "v1"))
    await world.create(_v(world, "v2"), _gauge("v2", new="n", both="b"))
    kind, seen = await stream.event()
    assert (kind, seen["apiVersion"], seen["spec"]) == ("ADDED", "example.com/v1", {"both": "b"})
    assert [item["spec"] for item in (await world.list(_v(world, "v1")))["items"]] == [{"both": "b"}]


@scenario
async def test_a_page_in_another_version_follows_the_schema_of_the_storage_version(world: World) -> None:
    await world.define(GAUGES)
    await world.create(_v(world, "v2"), _gauge("v2", both="b"))
    for _ in range(2):
        page = await world.list(_v(world, "v1"), "default", limit=5)
        assert page["items"][0]["spec"] == {"both": "b"}
    definition = await world.get(_definitions(world), "gauges.example.com", "")
    fields = definition["spec"]["versions"][1]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del fields["both"]
    await world.update(_definitions(world), definition)
    page = await world.list(_v(world, "v1"), "default", limit=5)
    assert page["items"][0]["spec"] == {}


@scenario
async def test_the_defaults_of_the_status_are_set_when_an_object_is_created(world: World) -> None:
    await world.define(GAUGES)
    made = await world.create(_v(world, "v2"), {**_gauge("v2"), "status": {"phase": "Done"}})
    assert made["status"] == {"phase": "Pending"}
    assert (await world.get(_v(world, "v2"), "g")) == made
    dry = {**_gauge("v2"), "metadata": {"name": "dry"}}
    assert (await world.create(_v(world, "v2"), dry, dry_run=True))["status"] == {"phase": "Pending"}
    owned = [entry["fieldsV1"] for entry in made["metadata"].get("managedFields", ())]
    assert not any("f:status" in fields for fields in owned)


_VERBS: dict[str, Any] = {
    "get": lambda world, type_: world.get(type_, "g"),
    "list": lambda world, type_: world.list(type_),
    "watch": lambda world, type_: world.watch(type_),
    "create": lambda world, type_: world.create(type_, _gauge("v1", both="x")),
    "patch": lambda world, type_: world.patch(type_, "g", {"spec": {"both": "x"}}),
    "apply": lambda world, type_: world.apply(type_, _gauge("v1", both="x")),
    "delete": lambda world, type_: world.delete(type_, "g"),
}


@pytest.mark.parametrize("verb", _VERBS)
def test_a_version_that_a_webhook_would_convert_answers_an_error(verb: str) -> None:
    @scenario
    async def check(world: World) -> None:
        await world.define(GAUGES)
        await _with_webhook(world)
        await world.create(_v(world, "v2"), _gauge("v2", new="precious", both="b"))
        with refused(500, "") as caught:
            await _VERBS[verb](world, _v(world, "v1"))
        assert caught.value.message == (
            "conversion webhook for example.com/v2, Kind=Gauge failed: this server does not call conversion webhooks: "
            "use the storage version, example.com/v2"
        )
        assert (await world.get(_v(world, "v2"), "g"))["spec"] == {"new": "precious", "both": "b", "scale": "linear"}

    check()


@scenario
async def test_an_object_stored_in_an_older_version_needs_the_webhook_too(world: World) -> None:
    await world.define(GAUGES)
    await world.create(_v(world, "v2"), _gauge("v2", new="precious"))
    definition = await world.get(_definitions(world), "gauges.example.com", "")
    definition["spec"]["conversion"] = WEBHOOK
    for version in definition["spec"]["versions"]:
        version["storage"] = version["name"] == "v1"
    await world.update(_definitions(world), definition)
    with refused(500, "") as caught:
        await world.patch(_v(world, "v1"), "g", {"spec": {"both": "x"}})
    assert "conversion webhook for example.com/v2, Kind=Gauge failed" in caught.value.message


@scenario
async def test_a_list_of_all_logical_clusters_leaves_out_what_one_of_them_cannot_convert(world: World) -> None:
    other = world.at("other")
    for each in (world, other):
        await each.define(GAUGES)
        await each.create(_v(each, "v2"), _gauge("v2", both="b"))
    await _with_webhook(other)
    everywhere = world.at("*")
    type_ = _v(everywhere, "v1")
    context = everywhere.context()
    listing = await world.registry.list(context, Target(type_, ""), ListOptions())
    content = orjson.loads(b"".join(WHOLE_OBJECTS.listing(listing, world.registry.type_of_cluster(type_))))
    assert len(content["items"]) == 1
    stream = await everywhere.watch(type_)
    await other.patch(_v(other, "v2"), "g", {"spec": {"both": "hidden"}})
    await world.patch(_v(world, "v2"), "g", {"spec": {"both": "shown"}})
    _, seen = await stream.event()
    assert seen["spec"] == {"both": "shown"}


@scenario_with_controllers
async def test_controllers_delete_through_the_version_that_needs_no_webhook(world: World) -> None:
    manifest = yaml.safe_load(GAUGES)
    manifest["spec"]["conversion"] = WEBHOOK
    await world.create(_definitions(world), manifest, "")
    gauge = _v(world, "v2")
    await world.create(gauge, _gauge("v2"))
    await world.delete(_definitions(world), "gauges.example.com", "")

    async def gone() -> bool:
        try:
            await world.get(_definitions(world), "gauges.example.com", "")
        except StatusError as error:
            return error.code == 404
        return False

    await world.eventually(gone, 20)
    assert world.registry.store.get(key_of(gauge, world.cluster, "default", "g")) is None
