"""Objects of a custom resource in versions other than the storage version."""

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
from tests.support.lists import whole_list
from tests.support.registry_client import Object, RegistryClient, refused
from tests.support.waiting import eventually

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


def _v(client: RegistryClient, version: str) -> ResourceType:
    return client.type("gauges", "example.com", version)


async def _with_webhook(client: RegistryClient) -> None:
    definition = await client.get(client.definitions, "gauges.example.com", "")
    definition["spec"]["conversion"] = WEBHOOK
    await client.update(client.definitions, definition)


async def test_fields_that_the_storage_version_does_not_declare_are_not_kept(client: RegistryClient) -> None:
    await client.define(GAUGES)
    made = await client.create(_v(client, "v1"), _gauge("v1", old="o", both="b", unit="in"))
    assert made["apiVersion"] == "example.com/v1"
    assert made["spec"] == {"both": "b"}
    assert (await client.get(_v(client, "v1"), "g")) == made
    assert (await client.get(_v(client, "v2"), "g"))["spec"] == {"both": "b", "scale": "linear"}


async def test_a_write_through_another_version_prunes_what_that_version_does_not_declare(
    client: RegistryClient,
) -> None:
    await client.define(GAUGES)
    await client.create(_v(client, "v2"), _gauge("v2", new="n", both="b"))
    changed = await client.patch(_v(client, "v1"), "g", {"spec": {"both": "c"}})
    assert changed["spec"] == {"both": "c"}
    assert (await client.get(_v(client, "v2"), "g"))["spec"] == {"both": "c", "scale": "linear"}


async def test_an_object_is_stored_as_its_storage_version_reads_it(client: RegistryClient) -> None:
    await client.define(GAUGES)
    await client.create(_v(client, "v1"), _gauge("v1", both="b"))
    type_ = _v(client, "v2")
    record = client.registry.store.get(key_of(type_, client.cluster, "default", "g"))
    assert record is not None
    assert record.tag == type_.schema_hash
    assert orjson.loads(record.value)["status"] == {"phase": "Pending"}


async def test_a_write_through_another_version_that_changes_nothing_writes_nothing(client: RegistryClient) -> None:
    await client.define(GAUGES)
    first = await client.create(_v(client, "v1"), _gauge("v1", both="b"))
    again = await client.update(_v(client, "v1"), first, "status")
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    dry = await client.patch(_v(client, "v1"), "g", {"spec": {"both": "c", "old": "o"}}, dry_run=True)
    assert dry["spec"] == {"both": "c"}


async def test_lists_and_watches_in_another_version_show_the_same(client: RegistryClient) -> None:
    await client.define(GAUGES)
    stream = await client.watch(_v(client, "v1"))
    await client.create(_v(client, "v2"), _gauge("v2", new="n", both="b"))
    kind, seen = await stream.event()
    assert (kind, seen["apiVersion"], seen["spec"]) == ("ADDED", "example.com/v1", {"both": "b"})
    assert [item["spec"] for item in (await client.list(_v(client, "v1")))["items"]] == [{"both": "b"}]


async def test_a_page_in_another_version_follows_the_schema_of_the_storage_version(client: RegistryClient) -> None:
    await client.define(GAUGES)
    await client.create(_v(client, "v2"), _gauge("v2", both="b"))
    for _ in range(2):
        page = await client.list(_v(client, "v1"), "default", limit=5)
        assert page["items"][0]["spec"] == {"both": "b"}
    definition = await client.get(client.definitions, "gauges.example.com", "")
    fields = definition["spec"]["versions"][1]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del fields["both"]
    await client.update(client.definitions, definition)
    page = await client.list(_v(client, "v1"), "default", limit=5)
    assert page["items"][0]["spec"] == {}


async def test_the_defaults_of_the_status_are_set_when_an_object_is_created(client: RegistryClient) -> None:
    await client.define(GAUGES)
    made = await client.create(_v(client, "v2"), {**_gauge("v2"), "status": {"phase": "Done"}})
    assert made["status"] == {"phase": "Pending"}
    assert (await client.get(_v(client, "v2"), "g")) == made
    dry = {**_gauge("v2"), "metadata": {"name": "dry"}}
    assert (await client.create(_v(client, "v2"), dry, dry_run=True))["status"] == {"phase": "Pending"}
    owned = [entry["fieldsV1"] for entry in made["metadata"].get("managedFields", ())]
    assert not any("f:status" in fields for fields in owned)


_VERBS: dict[str, Any] = {
    "get": lambda client, type_: client.get(type_, "g"),
    "list": lambda client, type_: client.list(type_),
    "watch": lambda client, type_: client.watch(type_),
    "create": lambda client, type_: client.create(type_, _gauge("v1", both="x")),
    "patch": lambda client, type_: client.patch(type_, "g", {"spec": {"both": "x"}}),
    "apply": lambda client, type_: client.apply(type_, _gauge("v1", both="x")),
    "delete": lambda client, type_: client.delete(type_, "g"),
}


@pytest.mark.parametrize("verb", _VERBS)
async def test_a_version_that_a_webhook_would_convert_answers_an_error(client: RegistryClient, verb: str) -> None:
    await client.define(GAUGES)
    await _with_webhook(client)
    await client.create(_v(client, "v2"), _gauge("v2", new="precious", both="b"))
    with refused(500, "") as caught:
        await _VERBS[verb](client, _v(client, "v1"))
    assert caught.value.message == (
        "conversion webhook for example.com/v2, Kind=Gauge failed: this server does not call conversion webhooks: "
        "use the storage version, example.com/v2"
    )
    assert (await client.get(_v(client, "v2"), "g"))["spec"] == {"new": "precious", "both": "b", "scale": "linear"}


async def test_an_object_stored_in_an_older_version_needs_the_webhook_too(client: RegistryClient) -> None:
    await client.define(GAUGES)
    await client.create(_v(client, "v2"), _gauge("v2", new="precious"))
    definition = await client.get(client.definitions, "gauges.example.com", "")
    definition["spec"]["conversion"] = WEBHOOK
    for version in definition["spec"]["versions"]:
        version["storage"] = version["name"] == "v1"
    await client.update(client.definitions, definition)
    with refused(500, "") as caught:
        await client.patch(_v(client, "v1"), "g", {"spec": {"both": "x"}})
    assert "conversion webhook for example.com/v2, Kind=Gauge failed" in caught.value.message


async def test_a_list_of_all_logical_clusters_leaves_out_what_one_of_them_cannot_convert(
    client: RegistryClient,
) -> None:
    other = client.at("other")
    for each in (client, other):
        await each.define(GAUGES)
        await each.create(_v(each, "v2"), _gauge("v2", both="b"))
    await _with_webhook(other)
    everywhere = client.at("*")
    type_ = _v(everywhere, "v1")
    context = everywhere.context()
    listing = await client.registry.list(context, Target(type_, ""), ListOptions())
    content = orjson.loads(whole_list(WHOLE_OBJECTS.listing(listing, client.registry.type_of_cluster(type_))))
    assert len(content["items"]) == 1
    stream = await everywhere.watch(type_)
    await other.patch(_v(other, "v2"), "g", {"spec": {"both": "hidden"}})
    await client.patch(_v(client, "v2"), "g", {"spec": {"both": "shown"}})
    _, seen = await stream.event()
    assert seen["spec"] == {"both": "shown"}


@pytest.mark.usefixtures("controllers")
async def test_controllers_delete_through_the_version_that_needs_no_webhook(client: RegistryClient) -> None:
    manifest = yaml.safe_load(GAUGES)
    manifest["spec"]["conversion"] = WEBHOOK
    await client.create(client.definitions, manifest, "")
    gauge = _v(client, "v2")
    await client.create(gauge, _gauge("v2"))
    await client.delete(client.definitions, "gauges.example.com", "")

    async def gone() -> bool:
        try:
            await client.get(client.definitions, "gauges.example.com", "")
        except StatusError as error:
            return error.code == 404
        return False

    await eventually(gone, "the object is gone")
    assert client.registry.store.get(key_of(gauge, client.cluster, "default", "g")) is None
