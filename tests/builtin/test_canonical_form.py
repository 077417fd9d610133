"""The canonical form of Kubernetes' kinds: they are structs in Go, so empty fields are left out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kcp.api.protobuf.canonical_form import normalize
from kcp.builtin.registration import declare
from tests.builtin.conftest import Types
from tests.support.registry_client import Object, RegistryClient, refused

declare()
RBAC = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io"


def named(api_version: str, kind: str, **more: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, **more}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (named("v1", "ConfigMap", data={}, binaryData=None, immutable=False), {"immutable": False}),
        (named("v1", "ConfigMap", data={"a": None, "b": ""}), {"data": {"a": "", "b": ""}}),
        (named("v1", "ServiceAccount", secrets=[None], imagePullSecrets=[]), {"secrets": [{}]}),
        (named("v1", "ServiceAccount", imagePullSecrets=[{"name": ""}]), {"imagePullSecrets": [{}]}),
        (named("v1", "Event", involvedObject={"kind": ""}, count=0, type=""), {"involvedObject": {}}),
        (named(f"{RBAC}/v1", "Role", rules=[]), {}),
        (named(f"{RBAC}/v1", "Role", rules=[{"verbs": [], "resources": []}]), {"rules": [{"verbs": []}]}),
        (named(f"{RBAC}/v1", "Role", rules=[{"apiGroups": [None]}]), {"rules": [{"apiGroups": [""]}]}),
        (named(f"{RBAC}/v1", "RoleBinding", subjects=[None]), {"subjects": [{"kind": "", "name": ""}]}),
        (
            named(f"{ADMISSION}/v1", "MutatingWebhookConfiguration", webhooks=[{"rules": [{"resources": [None]}]}]),
            {"webhooks": [{"rules": [{"resources": [""]}]}]},
        ),
        (named("coordination.k8s.io/v1", "Lease", spec={"holderIdentity": ""}), {"spec": {"holderIdentity": ""}}),
        (named("v1", "PersistentVolume", spec={"capacity": {"a": 0.5, "b": "1024Mi", "c": None, "d": "x", "e": True}}),
         {"spec": {"capacity": {"a": "500m", "b": "1Gi", "c": "0", "d": "x", "e": True}}}),
        (named("v1", "Node", spec={"taints": [{"key": "a", "effect": "b", "timeAdded": "2026-01-02T03:04:05+02:00"}]}),
         {"spec": {"taints": [{"key": "a", "effect": "b", "timeAdded": "2026-01-02T01:04:05Z"}]}}),
        (named("v1", "PodTemplate", template={"metadata": {"labels": {}, "creationTimestamp": None}}),
         {"template": {"metadata": {}}}),
        (named("discovery.k8s.io/v1", "EndpointSlice", endpoints=[], ports=[]), {"endpoints": []}),
        (named("authentication.k8s.io/v1", "TokenReview", spec={"token": "", "audiences": []}), {"spec": {}}),
        (
            named("authorization.k8s.io/v1", "SubjectAccessReview", spec={"extra": {"a": [None]}}),
            {"spec": {"extra": {"a": [""]}}},
        ),
    ],
)  # fmt: skip
def test_an_object_is_written_as_go_encodes_it(sent: Object, kept: Object) -> None:
    normalize(sent)
    assert {name: value for name, value in sent.items() if name not in {"apiVersion", "kind", "metadata"}} == kept
    again = copy.deepcopy(sent)
    normalize(again)
    assert again == sent


@pytest.mark.parametrize("data", [[], "", 0, False, "x", 5])
def test_a_member_of_another_type_is_left_for_the_schema_to_report(data: Any) -> None:
    sent = named("v1", "ConfigMap", data=data)
    normalize(sent)
    assert sent["data"] == data


def test_a_kind_without_a_message_is_left_alone() -> None:
    sent = named("example.com/v1", "Widget", spec={})
    assert not normalize(sent)
    assert sent["spec"] == {}


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("exclusiveMinimum", False),
        ("required", []),
        ("pattern", ""),
        ("properties", {}),
        ("nullable", False),
        ("enum", []),
    ],
)
def test_empty_keywords_of_a_schema_are_left_out(types: Types, keyword: str, value: Any) -> None:
    names = {"plural": "as", "kind": "A"}
    schema = {"type": "object", "properties": {"a": {"type": "object", keyword: value, "default": {}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]}
    made = types.create(types("customresourcedefinitions", "apiextensions.k8s.io"), {"spec": spec})
    kept = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["a"]
    assert kept == {"type": "object", "default": {}}


@pytest.mark.parametrize(
    ("group", "plural", "obj"),
    [
        ("", "namespaces", named("v1", "Namespace", spec={"finalizers": "x"})),
        ("", "namespaces", named("v1", "Namespace", status={"phase": 5})),
        ("", "resourcequotas", named("v1", "ResourceQuota", status={"hard": []})),
        ("", "configmaps", named("v1", "ConfigMap", data=[])),
        ("", "configmaps", named("v1", "ConfigMap", binaryData={"a": True})),
        ("", "secrets", named("v1", "Secret", type=0)),
        ("", "secrets", named("v1", "Secret", data={"a": {}})),
        (RBAC, "rolebindings", named(f"{RBAC}/v1", "RoleBinding", roleRef={"apiGroup": [], "kind": "Role", "name": "r"})),
        (ADMISSION, "validatingwebhookconfigurations", named(f"{ADMISSION}/v1", "ValidatingWebhookConfiguration", webhooks={})),
        ("", "configmaps", {**named("v1", "ConfigMap"), "kind": 0}),
        ("", "configmaps", {**named("v1", "ConfigMap"), "apiVersion": []}),
    ],
)  # fmt: skip
async def test_an_undecodable_field_is_refused_though_the_server_replaces_it(
    client: RegistryClient, group: str, plural: str, obj: Object
) -> None:
    with refused(400, "BadRequest") as caught:
        await client.create(client.type(plural, group), obj)
    assert "json: cannot unmarshal" in caught.value.message


async def test_an_account_keeps_the_names_of_its_secrets_only(client: RegistryClient) -> None:
    accounts = client.type("serviceaccounts")
    made = await client.create(
        accounts, named("v1", "ServiceAccount", secrets=[{"name": "s", "kind": "Secret", "uid": "u"}])
    )
    assert made["secrets"] == [{"name": "s"}]
