"""Scales that a client sends: decoded as autoscaling/v1, and recorded in the managed fields of the object."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.registry.contexts import STRICT
from tests.support.objects import widget
from tests.support.registry_client import Object, RegistryClient, refused

BAD: list[tuple[Object, str]] = [
    ({"spec": {"replicas": "3"}}, "cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type int32"),
    ({"spec": {"replicas": 1.5}}, "cannot unmarshal number 1.5 into Go struct field ScaleSpec.spec.replicas"),
    ({"spec": {"replicas": 1 << 31}}, "number 2147483648 into Go struct field ScaleSpec.spec.replicas of type int32"),
    ({"spec": {"replicas": True}}, "cannot unmarshal bool"),
    ({"spec": 5}, "cannot unmarshal number into Go struct field Scale.spec of type v1.ScaleSpec"),
    ({"status": {"selector": 5}}, "ScaleStatus.status.selector of type string"),
    ({"metadata": {"name": "w", "labels": 5}}, "ObjectMeta.metadata.labels"),
]


async def make_widget(client: RegistryClient) -> None:
    await client.define()
    await client.create(client.widgets, widget("w", 3), field_manager="creator")


@pytest.mark.parametrize(("bad", "why"), BAD)
async def test_what_is_no_scale_is_400_in_a_put_and_422_in_a_patch(
    client: RegistryClient, bad: Object, why: str
) -> None:
    await make_widget(client)
    with refused(400, "BadRequest") as caught:
        await client.update(
            client.widgets, {"metadata": {"name": "w", "namespace": "default"}, **_in_default(bad)}, "scale"
        )
    assert why in caught.value.message
    with refused(422, "Invalid") as caught:
        await client.patch(client.widgets, "w", bad, subresource="scale")
    assert caught.value.details["causes"][0]["field"] == "patch"
    assert why in caught.value.message
    assert (await client.get(client.widgets, "w"))["spec"]["size"] == 3


def _in_default(body: Object) -> Object:
    meta = body.get("metadata")
    return {**body, "metadata": {**meta, "namespace": "default"}} if meta else body


async def test_null_replicas_are_none(client: RegistryClient) -> None:
    await make_widget(client)
    body: Object = {"metadata": {"name": "w", "namespace": "default"}, "spec": {"replicas": None}}
    assert (await client.update(client.widgets, body, "scale"))["spec"] == {}
    assert (await client.get(client.widgets, "w"))["spec"]["size"] == 0


async def test_unknown_fields_of_a_scale_are_warned_of_or_refused(client: RegistryClient) -> None:
    await make_widget(client)
    body: Object = {"metadata": {"name": "w", "namespace": "default"}, "spec": {"replicas": 4, "size": 1}}
    with refused(400, "BadRequest") as caught:
        await client.update(client.widgets, body, "scale", field_validation=STRICT)
    assert 'strict decoding error: unknown field "spec.size"' in caught.value.message
    assert (await client.update(client.widgets, body, "scale"))["spec"] == {"replicas": 4}


async def test_the_uid_of_a_scale_is_a_precondition_of_a_put(client: RegistryClient) -> None:
    await make_widget(client)
    meta = {"name": "w", "namespace": "default", "uid": "another"}
    with refused(409, "Conflict"):
        await client.update(client.widgets, {"metadata": meta, "spec": {"replicas": 4}}, "scale")
    patched = await client.patch(
        client.widgets, "w", {"metadata": {"uid": "another"}, "spec": {"replicas": 4}}, subresource="scale"
    )
    assert patched["spec"] == {"replicas": 4}


async def test_the_entry_of_a_scale_has_no_time_and_comes_first(client: RegistryClient) -> None:
    await make_widget(client)
    change: Any = {"spec": {"replicas": 6}}
    await client.patch(client.widgets, "w", change, subresource="scale", field_manager="scaler")
    first, second = (await client.get(client.widgets, "w"))["metadata"]["managedFields"]
    assert first == {
        "manager": "scaler",
        "operation": "Update",
        "apiVersion": "example.com/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:size": {}}},
        "subresource": "scale",
    }
    assert second["manager"] == "creator"
    assert second["time"]
