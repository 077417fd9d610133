"""Writes that change nothing but the times of managed fields are no writes, as in kube-apiserver."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.api import metadata
from tests.support.objects import config_map, definition, widget
from tests.support.registry_client import Object, RegistryClient


def _at(monkeypatch: pytest.MonkeyPatch, second: int) -> None:
    monkeypatch.setattr(metadata, "now", lambda: f"2030-01-01T00:00:{second:02}Z")


QUOTA: Object = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "a"},
    "spec": {"hard": {"cpu": "1000m"}},
    "status": {"hard": {"cpu": "1"}},
}
SECRET: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"k": "v"}}


@pytest.mark.parametrize(
    ("plural", "group", "obj"),
    [
        pytest.param("secrets", "", SECRET, id="what is stored in another field"),
        pytest.param("resourcequotas", "", QUOTA, id="what is written in another form, and a status"),
        pytest.param("configmaps", "", config_map("a", metadata={"labels": {}}), id="an empty map"),
        pytest.param(
            "configmaps",
            "",
            config_map("a", metadata={"creationTimestamp": "2020-01-01T00:00:00Z"}),
            id="a field that the server owns",
        ),
        pytest.param("widgets", "example.com", {**widget("a", 3), "status": {"phase": "x"}}, id="a custom status"),
    ],
)
async def test_an_apply_that_is_repeated_writes_nothing(
    client: RegistryClient, monkeypatch: pytest.MonkeyPatch, plural: str, group: str, obj: Object
) -> None:
    await client.define()
    type_ = client.type(plural, group)
    seen: list[Any] = []
    for second in range(3):
        _at(monkeypatch, second)
        applied = await client.apply(type_, obj)
        seen.append((applied["metadata"]["resourceVersion"], applied["metadata"]["managedFields"]))
    assert seen[0] == seen[1] == seen[2]


async def test_a_change_of_owners_alone_is_a_write(client: RegistryClient, monkeypatch: pytest.MonkeyPatch) -> None:
    _at(monkeypatch, 1)
    made = await client.apply(client.config_maps, config_map("a"))
    _at(monkeypatch, 2)
    shared = await client.apply(client.config_maps, config_map("a"), "another")
    assert shared["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    assert len(shared["metadata"]["managedFields"]) == 2


async def test_a_null_of_a_field_that_an_apply_cannot_set_is_ignored(client: RegistryClient) -> None:
    await client.define()
    applied = await client.apply(client.widgets, {**widget("a", 3), "status": None})
    assert "status" not in applied


async def test_an_apply_may_name_any_field_below_one_that_preserves_unknown_fields(client: RegistryClient) -> None:
    spec = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}},
    }
    await client.define(definition("opens", "Open", schema={"type": "object", "properties": {"spec": spec}}))
    opens = client.type("opens", "example.com")
    obj = {"apiVersion": "example.com/v1", "kind": "Open", "metadata": {"name": "a"}}
    applied = await client.apply(opens, {**obj, "spec": {"known": {"a": "x", "b": 1}, "free": 2}})
    assert applied["spec"] == {"known": {"a": "x"}, "free": 2}
