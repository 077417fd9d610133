"""The declarations of the built-in types: their part in discovery, explain and kubectl's columns."""

from collections.abc import Iterator
from typing import Any

import pytest

from kcp.builtin.loader import load_types
from tests.builtin.conftest import Types

DEFINITIONS = [entry.definition for entry in load_types()]


def name_of(definition: dict[str, Any]) -> str:
    spec = definition["spec"]
    return f"{spec['names']['kind']}.{spec['group'] or 'core'}"


def schema_of(definition: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """A schema and all schemas below it."""
    if not isinstance(node, dict):
        return
    yield node
    for keyword in ("properties", "$defs"):
        for below in node.get(keyword, {}).values():
            yield from schemas(below)
    for keyword in ("items", "additionalProperties"):
        yield from schemas(node.get(keyword))


@pytest.mark.parametrize("definition", DEFINITIONS, ids=name_of)
def test_every_field_has_a_description(definition: dict[str, Any]) -> None:
    for schema in schemas(schema_of(definition)):
        for name, member in schema.get("properties", {}).items():
            assert member.get("description"), name


@pytest.mark.parametrize("definition", DEFINITIONS, ids=name_of)
def test_every_reference_leads_to_a_definition(definition: dict[str, Any]) -> None:
    known = schema_of(definition).get("$defs", {})
    for schema in schemas(schema_of(definition)):
        if isinstance(reference := schema.get("$ref"), str):
            assert reference.removeprefix("#/$defs/") in known


@pytest.mark.parametrize("definition", DEFINITIONS, ids=name_of)
def test_every_list_says_how_it_merges_and_every_key_is_a_field(definition: dict[str, Any]) -> None:
    known = schema_of(definition).get("$defs", {})
    for schema in schemas(schema_of(definition)):
        for keys in [schema.get("x-kubernetes-list-map-keys", [])]:
            items = schema.get("items", {})
            target = known.get(items.get("$ref", "").removeprefix("#/$defs/"), items)
            assert all(key in target["properties"] for key in keys)
        if schema.get("x-kubernetes-patch-strategy") == "merge":
            assert schema["x-kubernetes-patch-merge-key"] in schema["x-kubernetes-list-map-keys"]


def test_every_schema_compiles_and_accepts_an_empty_status(types: Types) -> None:
    for type_ in types.all:
        obj: dict[str, Any] = {"apiVersion": type_.api_version, "kind": type_.kind, "metadata": {"name": "x"}}
        type_.schema.prune(obj)
        type_.schema.default(obj)
        assert all("Required value" in str(error) for error in type_.schema.validate(obj))


@pytest.mark.parametrize(
    ("plural", "group", "short_names", "categories"),
    [
        ("namespaces", "", ("ns",), ()),
        ("configmaps", "", ("cm",), ()),
        ("secrets", "", (), ()),
        ("serviceaccounts", "", ("sa",), ()),
        ("limitranges", "", ("limits",), ()),
        ("resourcequotas", "", ("quota",), ()),
        ("events", "", ("ev",), ()),
        ("events", "events.k8s.io", ("ev",), ()),
        ("customresourcedefinitions", "apiextensions.k8s.io", ("crd", "crds"), ("api-extensions",)),
        ("certificatesigningrequests", "certificates.k8s.io", ("csr",), ()),
        ("apiservices", "apiregistration.k8s.io", (), ("api-extensions",)),
        ("validatingadmissionpolicies", "admissionregistration.k8s.io", (), ("api-extensions",)),
    ],
)
def test_short_names_and_categories_are_those_of_kubernetes(
    types: Types, plural: str, group: str, short_names: tuple[str, ...], categories: tuple[str, ...]
) -> None:
    assert types(plural, group).short_names == short_names
    assert types(plural, group).categories == categories


@pytest.mark.parametrize(
    ("plural", "group", "narrow", "wide"),
    [
        ("namespaces", "", ["Name", "Status", "Age"], []),
        ("configmaps", "", ["Name", "Data", "Age"], []),
        ("secrets", "", ["Name", "Type", "Data", "Age"], []),
        (
            "events",
            "",
            ["Last Seen", "Type", "Reason", "Object", "Message"],
            ["Subobject", "Source", "First Seen", "Count", "Name"],
        ),
        ("leases", "coordination.k8s.io", ["Name", "Holder", "Age"], []),
        ("roles", "rbac.authorization.k8s.io", ["Name", "Created At"], []),
        (
            "rolebindings",
            "rbac.authorization.k8s.io",
            ["Name", "Role", "Age"],
            ["Users", "Groups", "ServiceAccounts"],
        ),
        ("resourcequotas", "", ["Name", "Request", "Limit", "Age"], []),
        (
            "certificatesigningrequests",
            "certificates.k8s.io",
            ["Name", "Age", "SignerName", "Requestor", "RequestedDuration", "Condition"],
            [],
        ),
        ("apiservices", "apiregistration.k8s.io", ["Name", "Service", "Available", "Age"], []),
        ("mutatingwebhookconfigurations", "admissionregistration.k8s.io", ["Name", "Webhooks", "Age"], []),
    ],
)
def test_columns_are_those_that_kubectl_prints(
    types: Types, plural: str, group: str, narrow: list[str], wide: list[str]
) -> None:
    columns = [column.definition() for column in types(plural, group).columns]
    assert [column["name"] for column in columns if not column.get("priority")] == narrow
    assert [column["name"] for column in columns if column.get("priority")] == wide


def test_each_row_has_a_cell_for_each_column(types: Types) -> None:
    for type_ in types.all:
        obj = {"metadata": {"name": "x", "namespace": "y", "creationTimestamp": "2024-01-01T00:00:00Z"}}
        cells = type_.strategy.cells(obj)
        if cells is not None:
            assert len(type_.columns) - len(cells) in {0, 1}, type_.kind


def test_reviews_are_created_and_nothing_else(types: Types) -> None:
    for type_ in types.all:
        asked = type_.group in {"authentication.k8s.io", "authorization.k8s.io"}
        assert type_.stored is not asked
        assert (type_.verbs == ("create",)) is asked
