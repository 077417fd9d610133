"""Namespaces: who owns their finalizers and their labels."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.registry_client import Object, RegistryClient

OWNED: Object = {"f:spec": {"f:finalizers": {}}}


def _namespace(name: str = "team", **more: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, **more}


def _fields(obj: Object) -> dict[str, Object]:
    """The fields of each manager, without those of the label that the server sets."""
    found = {}
    for entry in obj["metadata"].get("managedFields", ()):
        fields = {name: below for name, below in entry["fieldsV1"].items() if name != "f:metadata"}
        found[entry["manager"]] = fields
    return found


@pytest.mark.parametrize("spec", [{"finalizers": ["kubernetes"]}, {"finalizers": ["example.com/kept"]}])
async def test_a_client_owns_the_finalizers_that_it_creates_a_namespace_with(
    client: RegistryClient, spec: Object
) -> None:
    made = await client.create(client.type("namespaces"), _namespace(spec=spec), field_manager="creator")
    assert "kubernetes" in made["spec"]["finalizers"]
    assert _fields(made) == {"creator": OWNED}


@pytest.mark.parametrize("more", [{}, {"spec": {}}, {"spec": {"finalizers": []}}, {"spec": None}])
async def test_nobody_owns_the_finalizer_that_the_server_sets(client: RegistryClient, more: Object) -> None:
    made = await client.create(client.type("namespaces"), _namespace(**more), field_manager="creator")
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert _fields(made) == {"creator": {}}


async def test_finalizers_are_owned_as_they_are_sent_and_stay_as_they_are(client: RegistryClient) -> None:
    namespaces = client.type("namespaces")
    await client.create(namespaces, _namespace(spec={"finalizers": ["kubernetes"]}), field_manager="creator")
    other = {"spec": {"finalizers": ["example.com/other"]}}
    patched = await client.patch(namespaces, "team", other, field_manager="patcher")
    assert patched["spec"] == {"finalizers": ["kubernetes"]}
    assert _fields(patched) == {"creator": {}, "patcher": OWNED}
    removed = await client.patch(namespaces, "team", {"spec": None}, field_manager="patcher")
    assert removed["spec"] == {"finalizers": ["kubernetes"]}
    assert _fields(removed) == {"creator": {}}


async def test_the_subresource_status_owns_the_labels_that_it_sets(client: RegistryClient) -> None:
    quotas = client.type("resourcequotas")
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "5"}}}
    await client.create(quotas, quota)
    change = {"metadata": {"labels": {"a": "b"}}, "spec": {"hard": {"pods": "7"}}, "status": {"used": {"pods": "1"}}}
    changed = await client.patch(quotas, "q", change, subresource="status", field_manager="counter")
    assert changed["metadata"]["labels"] == {"a": "b"}
    assert changed["spec"] == quota["spec"]
    (entry,) = [each for each in changed["metadata"]["managedFields"] if each["manager"] == "counter"]
    assert entry["fieldsV1"]["f:metadata"] == {"f:labels": {".": {}, "f:a": {}}}
    assert "f:spec" not in entry["fieldsV1"]
