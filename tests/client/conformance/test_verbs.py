"""The verbs on objects."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.client import (
    AlreadyExistsError,
    Client,
    ConflictError,
    InvalidError,
    NotFoundError,
    ResourceClient,
    StatusError,
)


async def test_create_get_replace_and_delete(config_maps: ResourceClient) -> None:
    made = await config_maps.create({"metadata": {"name": "a"}, "data": {"x": "1"}})
    assert made["kind"] == "ConfigMap"
    assert made["metadata"]["uid"]
    assert await config_maps.get("a") == made
    made["data"]["x"] = "2"
    replaced = await config_maps.replace(made)
    assert replaced["data"] == {"x": "2"}
    await config_maps.delete("a", uid=replaced["metadata"]["uid"])
    with pytest.raises(NotFoundError) as caught:
        await config_maps.get("a")
    assert (caught.value.code, caught.value.reason) == (404, "NotFound")
    assert caught.value.details is not None
    assert caught.value.details["name"] == "a"


async def test_each_refusal_is_an_error_of_its_own_class(config_maps: ResourceClient) -> None:
    made = await config_maps.create({"metadata": {"name": "a"}})
    with pytest.raises(AlreadyExistsError):
        await config_maps.create({"metadata": {"name": "a"}})
    await config_maps.patch("a", {"data": {"x": "1"}})
    with pytest.raises(ConflictError):
        await config_maps.replace(made)
    with pytest.raises(ConflictError):
        await config_maps.delete("a", uid="another")
    with pytest.raises(InvalidError) as caught:
        await config_maps.create({"metadata": {"name": "Not A Name"}})
    assert caught.value.details is not None
    assert caught.value.details["causes"][0]["field"] == "metadata.name"


async def test_a_dry_run_stores_nothing(config_maps: ResourceClient) -> None:
    made = await config_maps.create({"metadata": {"name": "a"}}, dry_run=True)
    assert made["metadata"]["name"] == "a"
    with pytest.raises(NotFoundError):
        await config_maps.get("a")


async def test_strict_validation_refuses_unknown_fields(widgets: ResourceClient) -> None:
    with pytest.raises(StatusError, match="unknown field"):
        await widgets.create({"metadata": {"name": "a"}, "spec": {"sise": 1}}, field_validation="Strict")


async def test_a_merge_patch(config_maps: ResourceClient) -> None:
    await config_maps.create({"metadata": {"name": "a"}, "data": {"x": "1", "y": "1"}})
    assert (await config_maps.patch("a", {"data": {"x": None, "z": "2"}}))["data"] == {"y": "1", "z": "2"}


async def test_a_json_patch(config_maps: ResourceClient) -> None:
    await config_maps.create({"metadata": {"name": "a"}, "data": {"x": "1"}})
    test = {"op": "test", "path": "/data/x", "value": "1"}
    patched = await config_maps.patch("a", [test, {"op": "replace", "path": "/data/x", "value": "2"}])
    assert patched["data"] == {"x": "2"}
    with pytest.raises(InvalidError):
        await config_maps.patch("a", [test])


async def test_a_strategic_merge_patch(config_maps: ResourceClient) -> None:
    one, two = [await config_maps.create({"metadata": {"name": name}}) for name in ("one", "two")]
    await config_maps.create({"metadata": {"name": "a", "ownerReferences": [reference(one)]}})
    patched = await config_maps.patch("a", {"metadata": {"ownerReferences": [reference(two)]}}, strategic=True)
    assert {owner["name"] for owner in patched["metadata"]["ownerReferences"]} == {"one", "two"}


def reference(owner: dict[str, Any]) -> dict[str, Any]:
    """An owner reference."""
    meta = owner["metadata"]
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}


async def test_server_side_apply_and_its_conflicts(config_maps: ResourceClient) -> None:
    await config_maps.apply({"metadata": {"name": "a"}, "data": {"x": "1"}}, field_manager="one")
    with pytest.raises(ConflictError) as caught:
        await config_maps.apply({"metadata": {"name": "a"}, "data": {"x": "2"}}, field_manager="two")
    assert caught.value.details is not None
    assert caught.value.details["causes"][0]["field"] == ".data.x"
    forced = await config_maps.apply({"metadata": {"name": "a"}, "data": {"x": "2"}}, field_manager="two", force=True)
    assert [entry["manager"] for entry in forced["metadata"]["managedFields"]] == ["two"]


async def test_status_and_scale(widgets: ResourceClient) -> None:
    made = await widgets.create({"metadata": {"name": "a"}, "spec": {"size": 2}})
    assert set(widgets.resource.subresources) == {"status", "scale"}
    changed = await widgets.replace({**made, "status": {"size": 1}, "spec": {"size": 9}}, subresource="status")
    assert (changed["spec"]["size"], changed["status"]["size"]) == (2, 1)
    scale = await widgets.get("a", subresource="scale")
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["replicas"]) == ("Scale", 2, 1)
    scaled = await widgets.patch("a", {"spec": {"replicas": 5}}, subresource="scale")
    assert scaled["spec"]["replicas"] == 5
    assert (await widgets.get("a"))["spec"]["size"] == 5


async def test_deleting_a_collection_by_label(config_maps: ResourceClient) -> None:
    for name, color in (("a", "red"), ("b", "red"), ("c", "blue")):
        await config_maps.create({"metadata": {"name": name, "labels": {"color": color}}})
    await config_maps.delete_collection(label_selector={"color": "red"})
    left = await config_maps.list_all(label_selector="color")
    assert [item["metadata"]["name"] for item in left.items] == ["c"]


async def test_a_table_has_the_columns_of_the_type(widgets: ResourceClient) -> None:
    await widgets.create({"metadata": {"name": "a"}, "spec": {"size": 3}})
    table = await widgets.table()
    assert [column.name for column in table.columns] == ["Name", "Size"]
    assert table.rows == [["a", 3]]
    assert table.objects[0]["metadata"]["name"] == "a"
    assert (await widgets.table("a")).rows == table.rows


async def test_the_resource_of_an_object_is_found_by_its_kind(client: Client, widgets: ResourceClient) -> None:
    made = await widgets.create({"metadata": {"name": "a"}})
    found = await client.of_object(made)
    assert (found.resource, found.namespace) == (widgets.resource, widgets.namespace)
    assert await found.get("a") == made


async def test_names_and_labels_are_sent_as_they_are(config_maps: ResourceClient) -> None:
    await config_maps.create({"metadata": {"name": "a.b-c", "labels": {"example.com/a": "x_y.z"}}})
    found = await config_maps.list_all(
        label_selector="example.com/a in (x_y.z, other)", field_selector="metadata.name!=x"
    )
    assert [item["metadata"]["name"] for item in found.items] == ["a.b-c"]
    with pytest.raises(NotFoundError):
        await config_maps.get("a b?c&d#e=f+g")
