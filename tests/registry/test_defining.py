"""Large CustomResourceDefinitions, and concurrent ones."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import orjson
import pytest
import yaml

from kcp.api import documents, metadata
from kcp.logical_clusters import WILDCARD
from kcp.registry.requests import Target
from kcp.registry.types import catalog
from kcp.registry.types.catalog import Catalog
from kcp.registry.types.resource_types import from_definition
from kcp.registry.types.surfaces import Surface
from kcp.store.contract import UNREADABLE, DamagedValueError, Event, Key, Record
from tests.support.objects import definition, widget
from tests.support.registry_client import WIDGETS, Object, RegistryClient, refused


def _large(kind: str, **names: str) -> Object:
    """A definition with 8,000 properties."""
    inner = {f"field{number}": {"type": "string", "maxLength": 10} for number in range(100)}
    outer = {f"part{number}": {"type": "object", "properties": dict(inner)} for number in range(80)}
    plural = f"{kind.lower()}s"
    made = definition(plural, kind, schema={"type": "object", "properties": outer})
    made["spec"]["names"] |= names
    return made


async def test_the_event_loop_runs_other_tasks_while_a_large_definition_is_validated(client: RegistryClient) -> None:
    creation = asyncio.create_task(client.create(client.definitions, _large("Big"), ""))
    turns = 0
    while not creation.done():
        await asyncio.sleep(0)
        turns += 1
    made = creation.result()
    assert {each["type"]: each["status"] for each in made["status"]["conditions"]}["Established"] == "True"
    assert turns > 10
    assert client.type("bigs", "example.com").kind == "Big"


async def test_of_large_definitions_made_at_once_one_gets_the_kind(client: RegistryClient) -> None:
    one, other = _large("Big"), _large("Big")
    other["metadata"]["name"], other["spec"]["names"]["plural"] = "others.example.com", "others"
    made = await asyncio.gather(*(client.create(client.definitions, each, "") for each in (one, other)))
    accepted = [
        next(each["status"] for each in obj["status"]["conditions"] if each["type"] == "NamesAccepted") for obj in made
    ]
    assert sorted(accepted) == ["False", "True"]


async def test_an_error_deep_in_a_large_definition_is_reported(client: RegistryClient) -> None:
    sent = _large("Big")
    schema = sent["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["part79"]["properties"]["field99"] = {"maxLength": 3}
    with refused(422, "Invalid") as caught:
        await client.create(client.definitions, sent, "")
    assert [cause["field"] for cause in caught.value.details["causes"]] == [
        "spec.validation.openAPIV3Schema.properties[part79].properties[field99].type"
    ]


async def test_a_large_definition_is_validated_again_after_a_change(client: RegistryClient) -> None:
    made = await client.create(client.definitions, _large("Big"), "")
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["part0"]["properties"]["field0"] = {"type": "nonsense"}
    with refused(422, "Invalid"):
        await client.update(client.definitions, made)
    schema["properties"]["part0"]["properties"]["field0"] = {"type": "integer"}
    await client.update(client.definitions, made)
    again = {"apiVersion": "example.com/v1", "kind": "Big", "metadata": {"name": "a"}, "part0": {"field0": "text"}}
    with refused(422, "Invalid"):
        await client.create(client.type("bigs", "example.com"), again)


async def test_of_small_definitions_made_at_once_one_gets_the_kind(client: RegistryClient) -> None:
    sent = [definition(f"{name}s", "Same") for name in ("one", "two", "three", "four")]
    made = await asyncio.gather(*(client.create(client.definitions, each, "") for each in sent))
    served = [
        obj
        for obj in made
        if client.registry.find_type(client.cluster, "example.com", "v1", obj["spec"]["names"]["plural"])
    ]
    assert len(served) == 1


def _served(surface: Surface) -> list[tuple[str, str, bool]]:
    return [(type_.plural, type_.definition_hash, type_.terminating) for type_ in surface.types]


async def test_a_surface_that_follows_changes_is_the_one_that_a_new_server_assembles(client: RegistryClient) -> None:
    definitions = client.definitions
    builtin = client.registry.catalog.base.types
    plurals = ["beds", "axes", "dogs", "cats"]

    def check() -> None:
        fresh = Catalog(client.registry.store, builtin)
        assert _served(client.registry.catalog.surface(client.cluster)) == _served(fresh.surface(client.cluster))
        fresh.close()

    for plural in plurals:
        await client.create(definitions, definition(plural, plural[:-1].capitalize()), "")
        check()
    await client.create(definitions, definition("others", "Bed"), "")  # waits for its kind
    check()
    await client.patch(definitions, "dogs.example.com", {"spec": {"names": {"shortNames": ["d"]}}}, "")
    check()
    await client.patch(definitions, "cats.example.com", {"metadata": {"finalizers": ["example.com/hold"]}}, "")
    for plural in plurals:
        await client.delete(definitions, f"{plural}.example.com", "")
        check()


async def test_a_change_of_one_definition_decodes_that_one_only(client: RegistryClient) -> None:
    definitions = client.definitions
    for number in range(5):
        await client.create(definitions, definition(f"p{number}s", f"P{number}"), "")
    before = {type_.plural: type_ for type_ in client.registry.catalog.surface(client.cluster).types}
    read: list[bytes] = []
    decode = documents.decode_stored

    def counted(value: bytes) -> object:
        read.append(value)
        return decode(value)

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(documents, "decode_stored", counted)
        await client.patch(definitions, "p3s.example.com", {"spec": {"names": {"shortNames": ["p"]}}}, "")
        after = {type_.plural: type_ for type_ in client.registry.catalog.surface(client.cluster).types}
    assert {plural for plural, type_ in after.items() if type_ is not before[plural]} == {"p3s"}
    assert not [value for value in read if b'"p1s.example.com"' in value]


async def test_clients_may_write_stored_versions_and_not_conditions(client: RegistryClient) -> None:
    made = await client.define()
    sent = {"storedVersions": ["v1"], "conditions": [{"type": "Seen", "status": "True"}], "acceptedNames": {}}
    name = made["metadata"]["name"]
    written = await client.patch(client.definitions, name, {"status": sent}, subresource="status")
    status = {each["type"]: each["status"] for each in written["status"]["conditions"]}
    assert status == {"Seen": "True", "NamesAccepted": "True", "Established": "True"}
    assert written["status"]["acceptedNames"]["kind"] == "Widget"
    await client.create(client.widgets, widget("a"))


async def test_definitions_that_go_at_different_times_share_their_types(
    client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Types are cached by content: if the deletion time were part of it, every deletion would add types to the cache."""
    times = (f"2026-01-01T00:00:{second:02}Z" for second in range(60))
    monkeypatch.setattr(metadata, "now", lambda: next(times))
    surfaces = []
    for cluster in ("first", "second"):
        there = client.at(cluster)
        made = definition("widgets", "Widget")
        made["metadata"]["finalizers"] = ["example.com/hold"]
        definitions = there.type("customresourcedefinitions", "apiextensions.k8s.io")
        await there.create(definitions, made, "")
        assert not await there.delete(definitions, "widgets.example.com", "")
        assert there.type("widgets", "example.com").terminating
        surfaces.append(client.registry.catalog.surface(there.cluster))
    assert surfaces[0] is surfaces[1]


async def test_a_new_object_has_the_defaults_of_its_status(client: RegistryClient) -> None:
    condition = {"type": "Accepted", "status": "Unknown"}
    status = {
        "type": "object",
        "default": {"conditions": [condition]},
        "properties": {
            "conditions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string"},
                        "status": {"type": "string"},
                        "reason": {"type": "string", "default": "Pending"},
                    },
                },
            }
        },
    }
    spec = {"type": "object", "properties": {"a": {"type": "string"}}}
    made = definition("gates", "Gate", schema={"type": "object", "properties": {"spec": spec, "status": status}})
    made["spec"]["versions"][0]["subresources"] = {"status": {}}
    await client.create(client.definitions, made, "")
    gate = {"apiVersion": "example.com/v1", "kind": "Gate", "metadata": {"name": "g"}, "spec": {"a": "x"}}
    created = await client.create(client.type("gates", "example.com"), gate | {"status": {"conditions": []}})
    assert created["status"] == {"conditions": [condition | {"reason": "Pending"}]}
    assert created == await client.get(client.type("gates", "example.com"), "g")
    owned = [set(entry["fieldsV1"]) for entry in created["metadata"]["managedFields"]]
    assert owned == [{"f:spec"}]


async def test_a_definition_with_an_unknown_format_is_accepted_with_a_warning_once(client: RegistryClient) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "format": "foo"}}}
    context = client.context()
    sent = definition("formats", "Format", schema=schema)
    made = orjson.loads((await client.registry.create(context, Target(client.definitions), sent)).value)
    assert context.warnings == ['unrecognized format "foo"']
    context = client.context()
    made["metadata"]["labels"] = {"a": "b"}
    await client.registry.update(context, Target(client.definitions, "", made["metadata"]["name"]), made)
    assert context.warnings == []


async def test_an_update_of_a_large_definition_is_validated_against_the_old_one(client: RegistryClient) -> None:
    made = await client.create(client.definitions, _large("Kept"), "")
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["x-kubernetes-validations"] = [{"rule": "self.part0.field0 == 1"}]
    with refused(422, "Invalid") as caught:
        await client.update(client.definitions, made)
    assert "found no matching overload for '_==_' applied to '(string, int)'" in caught.value.message
    schema["x-kubernetes-validations"] = [{"rule": "self.part0.field0 == 'a'"}]
    changed = await client.update(client.definitions, made)
    assert changed["metadata"]["generation"] == 2


async def test_a_column_with_an_invalid_path_ends_the_columns_of_the_type(client: RegistryClient) -> None:
    manifest = yaml.safe_load(WIDGETS)
    manifest["spec"]["versions"][0]["additionalPrinterColumns"] = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Everything", "type": "string", "jsonPath": "..*"},
        {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
    ]
    await client.define(yaml.safe_dump(manifest))
    assert [column.name for column in client.widgets.columns] == ["Name", "Size"]


async def test_the_types_of_a_large_definition_are_made_before_it_is_stored(
    client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def noted(*args: Any, **kwargs: Any) -> Any:
        threads.append(threading.current_thread().name)
        return from_definition(*args, **kwargs)

    monkeypatch.setattr(catalog, "from_definition", noted)
    made = await client.create(client.definitions, _large("Big"), "")
    assert client.type("bigs", "example.com").kind == "Big"
    assert [name.rpartition("_")[0] for name in threads] == ["large-work"]
    made["spec"]["names"]["shortNames"] = ["b"]
    await client.update(client.definitions, made)
    assert client.type("bigs", "example.com").short_names == ("b",)
    assert [name.rpartition("_")[0] for name in threads] == ["large-work"] * 2


async def test_objects_of_kubernetes_kinds_have_the_same_schema_for_every_server(client: RegistryClient) -> None:
    containers = {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}
    template = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"containers": containers}}}}
    spec = {"type": "object", "properties": {"template": template}}
    sent = definition(
        "deployments", "Deployment", group="apps", schema={"type": "object", "properties": {"spec": spec}}
    )
    sent["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved"}
    made = await client.create(client.definitions, sent, "")
    prepared, (fresh,) = client.type("deployments", "apps"), from_definition(made)
    assert prepared.raw_schema != prepared.declared_schema, "it has patch strategies"
    assert prepared.schema_hash == fresh.schema_hash


@pytest.mark.parametrize("many", [False, True])
async def test_a_definition_that_became_unreadable_makes_its_type_unavailable_and_no_other(
    client: RegistryClient, many: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when another server writes it with an encryption key that this one does not have."""
    if many:
        monkeypatch.setattr(catalog, "_FEW", 1)
    for plural in ("tops", "lows"):
        await client.create(client.definitions, definition(plural, plural.title()), "")
    found = client.registry.catalog
    assert found.find(client.cluster, "example.com", "v1", "tops") is not None
    assert (await found.load(WILDCARD)).find("example.com", "v1", "tops") is not None
    key = Key(catalog.DEFINITIONS, client.cluster, "", "tops.example.com")
    before = client.registry.store.get(key)
    assert before is not None
    revision = before.revision + 100
    read = client.registry.store.get

    def damaged(asked: Key) -> Record | None:
        if asked == key:
            raise DamagedValueError(asked, revision, recoverable=False)
        return read(asked)

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(client.registry.store, "get", damaged)
        found._on_change([Event(revision, key, Record(key, revision, UNREADABLE, ""), before)])
        assert found.find(client.cluster, "example.com", "v1", "tops") is None
        for _ in range(2):
            with refused(503, "ServiceUnavailable") as caught:
                await found.look_up(client.cluster, "example.com", "v1", "tops")
            assert "the definition of the resource cannot be read" in str(caught.value)
            assert "tops.example.com of logical cluster root" in str(caught.value)
            found._alone.clear()
        assert found.find(client.cluster, "example.com", "v1", "lows") is not None
        assert 'customresourcedefinitions "tops.example.com" of logical cluster root cannot be read' in caplog.text
    assert await found.look_up(client.cluster, "example.com", "v1", "tops") is not None, "its key is there again"
    assert (await found.load(client.cluster)).unreadable == ()
