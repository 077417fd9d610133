"""The discovery documents of a set of resource types."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kcp.builtin.registration import declare
from kcp.registry.documents.discovery import AGGREGATED_VERSIONS, DiscoveryDocuments
from kcp.registry.types.resource_types import ResourceType, from_definition


def definition(group: str, kind: str, versions: tuple[str, ...] = ("v1",), **more: Any) -> dict[str, Any]:
    names = {"plural": kind.lower() + "s", "singular": kind.lower(), "kind": kind, "listKind": kind + "List"}
    names.update(more.pop("names", {}))
    subresources = more.pop("subresources", {})
    schema = {"openAPIV3Schema": {"type": "object"}}
    extension = more.pop("extension", {})
    return {
        "metadata": {"name": f"{names['plural']}.{group or 'core'}", **more.pop("metadata", {})},
        "spec": {
            "group": group,
            "scope": more.pop("scope", "Namespaced"),
            "names": names,
            "versions": [
                {
                    "name": name,
                    "served": True,
                    "storage": name == versions[0],
                    "schema": schema,
                    "subresources": subresources,
                }
                for name in versions
            ],
            **more,
        },
        "x-kcp": extension,
    }


def custom(*args: Any, **more: Any) -> list[ResourceType]:
    return from_definition(definition(*args, **more))


def builtin(*args: Any, **more: Any) -> list[ResourceType]:
    return from_definition(definition(*args, **more), builtin=True)


def types() -> list[ResourceType]:
    declare()  # the groups' order
    return [
        *custom(
            "zoo.example.com",
            "Lion",
            ("v1beta1", "v1", "v1alpha1"),
            names={"shortNames": ["li"], "categories": ["all"]},
        ),
        *builtin("", "ConfigMap", names={"shortNames": ["cm"]}),
        *builtin(
            "",
            "ServiceAccount",
            names={"shortNames": ["sa"]},
            extension={
                "subresources": {
                    "token": {
                        "verbs": ["create"],
                        "group": "authentication.k8s.io",
                        "version": "v1",
                        "kind": "TokenRequest",
                    }
                }
            },
        ),
        *builtin("rbac.authorization.k8s.io", "ClusterRole", scope="Cluster"),
        *builtin(
            "authorization.k8s.io",
            "SelfSubjectAccessReview",
            scope="Cluster",
            extension={"verbs": ["create"], "storage": ""},
        ),
        *custom(
            "apps.example.com", "Site", subresources={"status": {}, "scale": {"specReplicasPath": ".spec.replicas"}}
        ),
        *custom("", "Pod"),
    ]


@pytest.fixture(name="documents")
def _documents() -> DiscoveryDocuments:
    return DiscoveryDocuments(types())


def decoded(body: bytes | None) -> Any:
    assert body is not None
    return orjson.loads(body)


def resource(documents: DiscoveryDocuments, group: str, version: str, name: str) -> dict[str, Any]:
    found = [entry for entry in decoded(documents.resources(group, version))["resources"] if entry["name"] == name]
    assert len(found) == 1
    entry: dict[str, Any] = found[0]
    return entry


def test_api_lists_the_core_versions_and_the_address(documents: DiscoveryDocuments) -> None:
    assert decoded(documents.core_versions("127.0.0.1:6443")) == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}],
    }


def test_apis_lists_built_in_groups_by_priority_and_then_custom_ones(documents: DiscoveryDocuments) -> None:
    body = decoded(documents.groups())
    assert (body["kind"], body["apiVersion"]) == ("APIGroupList", "v1")
    names = [group["name"] for group in body["groups"]]
    assert names == ["authorization.k8s.io", "rbac.authorization.k8s.io", "apps.example.com", "zoo.example.com"]


def test_a_group_prefers_its_most_stable_newest_version(documents: DiscoveryDocuments) -> None:
    assert decoded(documents.group("zoo.example.com")) == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": "zoo.example.com",
        "versions": [
            {"groupVersion": "zoo.example.com/v1", "version": "v1"},
            {"groupVersion": "zoo.example.com/v1beta1", "version": "v1beta1"},
            {"groupVersion": "zoo.example.com/v1alpha1", "version": "v1alpha1"},
        ],
        "preferredVersion": {"groupVersion": "zoo.example.com/v1", "version": "v1"},
    }


@pytest.mark.parametrize("group", ["", "nothing.example.com"])
def test_a_group_that_is_not_served_has_no_document(documents: DiscoveryDocuments, group: str) -> None:
    assert documents.group(group) is None
    assert documents.resources(group, "v7") is None


def test_a_custom_resource_of_the_core_group_is_listed_with_the_built_in_types(documents: DiscoveryDocuments) -> None:
    body = decoded(documents.resources("", "v1"))
    assert (body["kind"], body["apiVersion"], body["groupVersion"]) == ("APIResourceList", "v1", "v1")
    names = [entry["name"] for entry in body["resources"]]
    assert names == ["configmaps", "pods", "serviceaccounts", "serviceaccounts/token"]


def test_a_custom_resource_says_all_that_kubectl_needs(documents: DiscoveryDocuments) -> None:
    assert resource(documents, "zoo.example.com", "v1", "lions") == {
        "name": "lions",
        "singularName": "lion",
        "namespaced": True,
        "kind": "Lion",
        "verbs": ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"],
        "shortNames": ["li"],
        "categories": ["all"],
        "storageVersionHash": resource(documents, "zoo.example.com", "v1beta1", "lions")["storageVersionHash"],
    }


def test_verbs_of_a_built_in_type_are_sorted(documents: DiscoveryDocuments) -> None:
    verbs = resource(documents, "", "v1", "configmaps")["verbs"]
    assert verbs == ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def test_a_definition_that_is_being_deleted_takes_no_more_objects() -> None:
    going = custom("zoo.example.com", "Lion", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    verbs = resource(DiscoveryDocuments(going), "zoo.example.com", "v1", "lions")["verbs"]
    assert verbs == ["delete", "deletecollection", "get", "list", "watch"]


def test_status_and_scale_are_listed_after_their_resource(documents: DiscoveryDocuments) -> None:
    entries = decoded(documents.resources("apps.example.com", "v1"))["resources"]
    assert [entry["name"] for entry in entries] == ["sites", "sites/scale", "sites/status"]
    assert entries[1] == {
        "name": "sites/scale",
        "singularName": "",
        "namespaced": True,
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    }
    assert entries[2] == {
        "name": "sites/status",
        "singularName": "",
        "namespaced": True,
        "kind": "Site",
        "verbs": ["get", "patch", "update"],
    }


def test_a_subresource_of_another_kind_says_so(documents: DiscoveryDocuments) -> None:
    token = resource(documents, "", "v1", "serviceaccounts/token")
    assert (token["group"], token["version"], token["kind"]) == ("authentication.k8s.io", "v1", "TokenRequest")
    assert token["verbs"] == ["create"]


def test_a_type_that_is_not_stored_has_no_storage_version_hash(documents: DiscoveryDocuments) -> None:
    review = resource(documents, "authorization.k8s.io", "v1", "selfsubjectaccessreviews")
    assert review["verbs"] == ["create"]
    assert review["namespaced"] is False
    assert "storageVersionHash" not in review


@pytest.mark.parametrize("version", AGGREGATED_VERSIONS)
@pytest.mark.parametrize("root", ["api", "apis"])
def test_the_aggregated_document_says_the_same_as_the_older_ones(
    documents: DiscoveryDocuments, root: str, version: str
) -> None:
    body = decoded(documents.aggregated(root, version).body)
    assert (body["kind"], body["apiVersion"]) == ("APIGroupDiscoveryList", f"apidiscovery.k8s.io/{version}")
    names = [item["metadata"]["name"] for item in body["items"]]
    expected = [""] if root == "api" else [group["name"] for group in decoded(documents.groups())["groups"]]
    assert names == expected
    for item in body["items"]:
        group = item["metadata"]["name"]
        if group:
            older = decoded(documents.group(group))["versions"]
            assert [entry["version"] for entry in item["versions"]] == [entry["version"] for entry in older]
        for entry in item["versions"]:
            assert entry["freshness"] == "Current"
            flattened = []
            for found in entry["resources"]:
                flattened.append(
                    (found["resource"], found["singularResource"], found["responseKind"]["kind"], found["verbs"])
                )
                flattened.extend(
                    (f"{found['resource']}/{sub['subresource']}", "", sub["responseKind"]["kind"], sub["verbs"])
                    for sub in found.get("subresources", ())
                )
            resources = decoded(documents.resources(group, entry["version"]))["resources"]
            assert flattened == [(old["name"], old["singularName"], old["kind"], old["verbs"]) for old in resources]


def test_the_aggregated_document_names_kind_and_scope(documents: DiscoveryDocuments) -> None:
    (core,) = decoded(documents.aggregated("api").body)["items"]
    config_maps = core["versions"][0]["resources"][0]
    assert config_maps["responseKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert config_maps["scope"] == "Namespaced"
    assert config_maps["shortNames"] == ["cm"]
    groups = decoded(documents.aggregated("apis").body)["items"]
    roles = next(item for item in groups if item["metadata"]["name"] == "rbac.authorization.k8s.io")
    assert roles["versions"][0]["resources"][0]["scope"] == "Cluster"


def test_equal_sets_of_types_have_equal_entity_tags_whatever_their_order(documents: DiscoveryDocuments) -> None:
    reordered = DiscoveryDocuments(reversed(types()))
    assert reordered.aggregated("apis") == documents.aggregated("apis")
    etag = documents.aggregated("apis").etag
    assert etag.startswith('"')
    assert etag.strip('"') == etag.strip('"').upper()


def test_a_new_resource_changes_only_the_entity_tag_of_its_own_root(documents: DiscoveryDocuments) -> None:
    more = DiscoveryDocuments([*types(), *custom("zoo.example.com", "Tiger")])
    assert more.aggregated("apis").etag != documents.aggregated("apis").etag
    assert more.aggregated("api").etag == documents.aggregated("api").etag


def test_documents_are_encoded_once(documents: DiscoveryDocuments) -> None:
    assert documents.aggregated("apis") is documents.aggregated("apis")
    assert documents.groups() is documents.groups()
    assert documents.resources("", "v1") is documents.resources("", "v1")


def test_no_types_at_all_is_a_server_without_groups() -> None:
    nothing = DiscoveryDocuments([])
    assert decoded(nothing.core_versions())["versions"] == []
    assert decoded(nothing.groups())["groups"] == []
    assert decoded(nothing.aggregated("apis").body)["items"] == []
